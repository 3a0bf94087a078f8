package dataset

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// everywhere is a fault of the hub and of its storage alike.
func everywhere(status int, header ...string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		hubtest.Refuse(w, status, "", "something is wrong")
		return true
	}
}

// What is asked for wrongly is a mistake, with the input to blame; a hub that fails is none.
func TestFaults(t *testing.T) {
	type fault = func(string, http.ResponseWriter, *http.Request) bool
	page := func(status int) fault {
		return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			fmt.Fprint(w, "<!doctype html><html><body>Sign in to the wireless network</body></html>")
			return true
		}
	}
	cases := map[string]struct {
		name, split, token string
		fault              fault
		says, hint         string
		input              string // "" for a hub that fails
		requests           int    // 0 for any number
	}{
		"no such dataset":      {name: "a/c", says: `the hub does not show "a/c" (401)`, hint: "check its name; for a private or gated one give hf-token", input: "dataset", requests: 1},
		"a slip":               {name: "princeton-nlp/SWE-bench_Verifid", split: "train", says: "does not show", hint: "did you mean princeton-nlp/SWE-bench_Verified?", input: "dataset"},
		"not for this token":   {name: "a/c", token: "t", says: `does not show the dataset "a/c" to this token (401)`, hint: "check that the token is valid", input: "hf-token"},
		"403":                  {fault: everywhere(403), says: "(403)", hint: "hf-token", input: "dataset"},
		"404":                  {fault: everywhere(404), says: `the hub has no parquet files of "a/b"`, hint: "letter case", input: "dataset"},
		"no such split":        {split: "tset", says: `"a/b" has no split "tset"`, hint: "did you mean test? its splits are test", input: "split"},
		"500":                  {fault: everywhere(500), says: "answered 500 Internal Server Error: something is wrong", hint: "again later", requests: 4},
		"501":                  {fault: everywhere(501), says: "501", hint: "again later", requests: 1},
		"429":                  {fault: everywhere(429), says: "429 Too Many Requests", hint: "with hf-token it counts yours alone", requests: 4},
		"a web page":           {fault: page(200), says: "answered with a web page instead of data", hint: "again later", requests: 4},
		"a web page, with 502": {fault: page(502), says: "answered 502 Bad Gateway", hint: "again later", requests: 4},
		"not JSON": {
			fault: func(_ string, w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "sorry"); return true },
			says:  "reading the response of http://", hint: "again later",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h, _ := published(t, 3)
			h.Fault = tc.fault
			reader, _ := readerOf(t, h)
			reader.Token = tc.token
			dataset, split := "a/b", "test"
			if tc.name != "" {
				dataset = tc.name
			}
			if tc.split != "" {
				split = tc.split
			}
			list, err := reader.Read(t.Context(), dataset, split, nil, readTestdata)
			if err == nil {
				t.Fatalf("read %d rows from %s", len(list.Rows), list.From)
			}
			var hinting interface{ Hint() string }
			if !strings.Contains(err.Error(), tc.says) || !errors.As(err, &hinting) || !strings.Contains(hinting.Hint(), tc.hint) {
				t.Errorf("says %q, want %q; hint %q in it", err, tc.says, tc.hint)
			}
			var mistake *config.InputError
			if input := ""; errors.As(err, &mistake) {
				input = mistake.Input
				if input != tc.input {
					t.Errorf("blames %s, want %q", input, tc.input)
				}
			} else if tc.input != "" {
				t.Errorf("%T blames no input, want %s", err, tc.input)
			}
			if strings.Contains(err.Error(), "<") || strings.Contains(err.Error(), "wireless") {
				t.Errorf("repeats a web page: %q", err)
			}
			if got := len(h.Asked()); tc.requests != 0 && got != tc.requests {
				t.Errorf("%d requests, want %d: %+v", got, tc.requests, h.Asked())
			}
		})
	}
}

// For a default dataset every one of them is only a warning.
func TestFaultsOfADefaultDataset(t *testing.T) {
	const name = "eth-sri/SWT-bench_Verified_bm25_27k_zsp"
	for _, status := range []int{401, 403, 404, 429, 500, 501} {
		h := hubtest.New(t)
		h.Fault = everywhere(status)
		reader, _ := readerOf(t, h)
		list, err := reader.Read(t.Context(), name, "test", nil, readTestdata)
		if err != nil || len(list.Rows) != 433 || len(list.Warnings) != 1 || !strings.Contains(list.Warnings[0], fmt.Sprint(status)) && status != 404 {
			t.Errorf("%d: %d rows, warnings %q, error %v", status, len(list.Rows), list.Warnings, err)
		}
	}
}

// once makes a fault of the first n requests that it concerns.
func once(n int, concerns func(place string, r *http.Request) bool, fault func(w http.ResponseWriter, r *http.Request)) func(string, http.ResponseWriter, *http.Request) bool {
	return func(place string, w http.ResponseWriter, r *http.Request) bool {
		if n == 0 || !concerns(place, r) {
			return false
		}
		n--
		fault(w, r)
		return true
	}
}

func at(where string) func(string, *http.Request) bool {
	return func(place string, _ *http.Request) bool { return place == where }
}

// What passes is waited for, as long as the server says, and the list is the hub's own in the end.
func TestPassingFaults(t *testing.T) {
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) { everywhere(code, header...)("", w, r) }
	}
	truncated := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5000")
		w.Header().Set("Content-Range", "bytes 0-4999/5000")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	cases := map[string]struct {
		fault func(string, http.ResponseWriter, *http.Request) bool
		waits []time.Duration
	}{
		"Retry-After":        {once(1, at(hubtest.Main), status(429, "Retry-After", "17")), []time.Duration{17 * time.Second}},
		"a shorter one":      {once(1, at(hubtest.Main), status(429, "Retry-After", "0")), []time.Duration{2 * time.Second}},
		"RateLimit":          {once(1, at(hubtest.Main), status(429, "RateLimit", `"api";r=0;t=23`)), []time.Duration{23 * time.Second}},
		"neither":            {once(3, at(hubtest.Main), status(429)), []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}},
		"502":                {once(2, at(hubtest.Storage), status(502)), []time.Duration{2 * time.Second, 5 * time.Second}},
		"408":                {once(1, at(hubtest.Main), status(408)), []time.Duration{2 * time.Second}},
		"a truncated answer": {once(1, at(hubtest.Storage), truncated), []time.Duration{2 * time.Second}},
		"a lost connection": {
			once(1, at(hubtest.Main), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			[]time.Duration{2 * time.Second},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h, ids := published(t, 3)
			h.Fault = tc.fault
			reader, waits := readerOf(t, h)
			list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
			if err != nil || list.From != "the hub's parquet files" || len(list.Warnings) != 0 {
				t.Fatalf("from %q, warnings %q, error %v", list.From, list.Warnings, err)
			}
			if diff := cmp.Diff(ids, IDs(list.Rows)); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.waits, *waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

// A long wait is waited for where nothing else is left, but not where this version has a list.
func TestLongWaits(t *testing.T) {
	h, ids := published(t, 3)
	h.Fault = once(2, at(hubtest.Main), func(w http.ResponseWriter, r *http.Request) {
		everywhere(429, "RateLimit", `"api";r=0;t=290`)("", w, r)
	})
	reader, waits := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if err != nil || !slices.Equal(IDs(list.Rows), ids) || !slices.Equal(*waits, []time.Duration{290e9, 290e9}) {
		t.Errorf("%q after waiting %v, error %v", IDs(list.Rows), *waits, err)
	}
	*waits = nil
	h.Fault = everywhere(429, "Retry-After", "290")
	if _, err := reader.Read(t.Context(), "princeton-nlp/SWE-bench_Verified", "test", nil, readTestdata); err != nil || len(*waits) != 0 {
		t.Errorf("waited %v, error %v", *waits, err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "30", 30 * time.Second},
		{"Retry-After", "-1", 0},
		{"Retry-After", "Tue, 24 Nov 2026 12:01:00 GMT", time.Minute},
		{"Retry-After", "Tue, 24 Nov 2026 11:00:00 GMT", 0},
		{"Retry-After", "soon", 0},
		{"RateLimit", `"api";r=0;t=187`, 187 * time.Second},
		{"RateLimit", `"resolvers";r=0; t=12`, 12 * time.Second},
		{"RateLimit", `"api"`, 0},
	}
	for _, tc := range cases {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(tc.name): {tc.value}}, now); got != tc.want {
			t.Errorf("%s: %s means %s, want %s", tc.name, tc.value, got, tc.want)
		}
	}
}

// The hub follows renames by itself.
func TestRenamed(t *testing.T) {
	h, ids := published(t, 3)
	h.Rename("a/b", "c/d.e")
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, IDs(list.Rows)); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if want := `The dataset "a/b" is called "c/d.e" on the hub now.`; !slices.Equal(list.Warnings, []string{want}) {
		t.Errorf("warnings are %q, want %q", list.Warnings, want)
	}
}

// What a link's query holds may give access to a file.
func TestErrorsShowNoSignature(t *testing.T) {
	h, _ := published(t, 3)
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		return place != hubtest.Main && everywhere(501)(place, w, r)
	}
	reader, _ := readerOf(t, h)
	reader.Token = "hf_secret"
	_, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
}

func TestSeveralConfigurations(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/parquet") {
			hubtest.Refuse(w, http.StatusNotFound, "", "Not found.")
			return
		}
		io.WriteString(w, `{"java": {"test": ["x"]}, "rust": {"test": ["y"]}}`)
	}))
	defer server.Close()
	reader := Reader{Hub: address(t, server.URL)}
	_, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if err == nil || !strings.Contains(err.Error(), `"a/b" has 2 configurations and none is the default: java, rust`) {
		t.Errorf("error is %v", err)
	}
}
