package dataset

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// A server that ignores Range sends the whole file, and that is read.
func TestServerWithoutRange(t *testing.T) {
	h := hubtest.New(t)
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	h.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{hubtest.Parquet(t, instances(ids))}})
	h.Fault = func(place string, _ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if err != nil || len(list.Rows) != 500 {
		t.Fatalf("%d rows, error %v", len(list.Rows), err)
	}
	if asked := h.Asked(); asked[len(asked)-1].Place != hubtest.Storage || len(asked) != 3 {
		t.Errorf("asked %+v, want the file once", asked)
	}
}

// Answers to Range that are not what was asked for make the file useless, not its ids wrong.
func TestWrongParts(t *testing.T) {
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	file := hubtest.Parquet(t, instances(ids))
	part := func(w http.ResponseWriter, value string, body []byte) {
		w.Header().Set("Content-Range", value)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(body)
	}
	size := len(file)
	whole := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	}
	// later answers to all but the first request, which is for the end.
	later := func(answer func(w http.ResponseWriter, r *http.Request)) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
				whole(w, r)
			} else {
				answer(w, r)
			}
		}
	}
	cases := map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		says   string
	}{
		"another part than said": {func(w http.ResponseWriter, r *http.Request) {
			part(w, fmt.Sprintf("bytes %d-%d/%d", size-10, size-1, size), file[size-9:])
		}, "answered with 9 bytes instead of 10"},
		"not the end":      {func(w http.ResponseWriter, r *http.Request) { part(w, fmt.Sprintf("bytes 0-9/%d", size), file[:10]) }, "which is not the end"},
		"no size":          {func(w http.ResponseWriter, r *http.Request) { part(w, "bytes 0-9/*", file[:10]) }, `Content-Range is "bytes 0-9/*"`},
		"no Content-Range": {func(w http.ResponseWriter, r *http.Request) { part(w, "", file[:10]) }, `Content-Range is ""`},
		"a file that changes": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", fmt.Sprintf("%q", r.Header.Get("Range")))
			whole(w, r)
		}, "changed while it was read"},
		"a file of another size": {later(func(w http.ResponseWriter, r *http.Request) { w.Write(file[1:]) }), "changed while it was read"},
		"the start, always": {
			later(func(w http.ResponseWriter, r *http.Request) { part(w, fmt.Sprintf("bytes 0-99/%d", size), file[:100]) }),
			"answered with bytes 0 to 99 of",
		},
		"the end, then all": {later(func(w http.ResponseWriter, r *http.Request) { w.Write(file) }), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := hubtest.New(t)
			h.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{file}})
			h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
				if place == hubtest.Storage {
					tc.answer(w, r)
				}
				return place == hubtest.Storage
			}
			reader, _ := readerOf(t, h)
			list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
			if fault, ok := err.(*Unreachable); tc.says != "" && (!ok || !strings.Contains(fault.Error(), tc.says)) {
				t.Fatalf("%d rows, error %v; want %q", len(list.Rows), err, tc.says)
			}
			if tc.says == "" && (err != nil || !slices.Equal(IDs(list.Rows), ids)) {
				t.Errorf("%d rows, error %v", len(list.Rows), err)
			}
		})
	}
}

// Damaged files of every sort end in an error, whatever the library does with them.
func TestDamagedParquet(t *testing.T) {
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	whole := hubtest.Parquet(t, instances(ids[:50]))
	damaged := map[string][]byte{
		"empty": {}, "four bytes": []byte("PAR1"), "truncated": whole[:len(whole)/2], "without its end": whole[:len(whole)-1],
		"something else": bytes.Repeat([]byte("no parquet "), 1000),
	}
	for i := range 40 {
		flipped := bytes.Clone(whole)
		for j := len(flipped) - 8 - 53*(i+1); j < len(flipped)-8; j += 53 {
			flipped[j] ^= 0xff
		}
		damaged[fmt.Sprint("footer ", i)] = flipped
	}
	for name, file := range damaged {
		t.Run(name, func(t *testing.T) {
			rows, err := readParquet(bytes.NewReader(file), int64(len(file)), "a/b", nil, nil)
			if err == nil && !slices.Equal(IDs(rows), ids[:50]) {
				t.Errorf("read %d rows", len(rows))
			}
		})
	}
	// Each byte of the footer's end in turn: rowsWithIDs them is the number of rows.
	short := 0
	for i := len(whole) - 300; i < len(whole); i++ {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x3c
		rows, err := readParquet(bytes.NewReader(flipped), int64(len(flipped)), "a/b", nil, nil)
		if err == nil && !slices.Equal(IDs(rows), ids[:50]) {
			t.Errorf("with another byte %d it has %d rows", i, len(rows))
		}
		if err != nil && strings.Contains(err.Error(), "column instance_id has 50 of ") {
			short++
		}
	}
	if short == 0 {
		t.Error("nobody compares the number of values with that of rows")
	}
	if _, err := readParquet(bytes.NewReader(damaged["truncated"]), int64(len(damaged["truncated"])), "a/b", nil, nil); err == nil {
		t.Error("a truncated file was read")
	}
}

// A dataset too large for the hub to convert has the files of its beginning only.
func TestPartialParquet(t *testing.T) {
	h, _ := published(t, 3)
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		listing := place == hubtest.Main && strings.HasSuffix(r.URL.Path, "/default/test")
		if listing {
			fmt.Fprintf(w, `["%s/api/datasets/a/b/parquet/default/partial-test/0.parquet"]`, h.URL)
		}
		return listing
	}
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if fault, ok := err.(*Unreachable); !ok || !strings.Contains(fault.Error(), "only a part of \"a/b\", split test") {
		t.Errorf("%d rows, error %v", len(list.Rows), err)
	}
}
