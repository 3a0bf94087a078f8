package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

func TestPutBlobAgain(t *testing.T) {
	unknown := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`))
	}
	soon := map[string]string{"Retry-After": "1.5ms"}
	cases := []struct {
		name     string
		fault    answers
		requests map[string]int
		says     string
	}{
		{"a POST that broke off", fault(2, 503, nil, method("POST", "")), map[string]int{"POST": 3, "PUT": 1}, ""},
		{"a PUT that broke off", fault(2, 500, nil, method("PUT", "")), map[string]int{"POST": 3, "PUT": 3}, ""},
		{"always", fault(9, 500, nil, method("PUT", "")), map[string]int{"POST": 3, "PUT": 3}, "500 Internal Server Error"},
		{"too many requests", fault(3, 429, soon, method("PUT", "")), map[string]int{"POST": 1, "PUT": 4}, ""},
		{"a secondary rate limit", fault(1, 403, soon, method("POST", "")), map[string]int{"POST": 2, "PUT": 1}, ""},
		{"no right", fault(1, 403, nil, method("POST", "")), map[string]int{"POST": 1}, "403, not allowed"},
		{"a bad request", fault(1, 400, nil, method("PUT", "")), map[string]int{"POST": 1, "PUT": 1}, "400 Bad Request"},
		{"a lost upload", once(method("PUT", ""), unknown), map[string]int{"POST": 2, "PUT": 2}, ""},
		{"a cut connection", once(method("PUT", ""), func(http.ResponseWriter) { panic(http.ErrAbortHandler) }),
			map[string]int{"POST": 2, "PUT": 2}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Fault = c.fault
			_, err := quick().PutBlob(t.Context(), host+"/a/b", []byte("x"))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v; want %q", err, c.says)
			}
			if diff := cmp.Diff(c.requests, g.Methods()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// once is a fault of a shape of its own.
func once(matches func(*http.Request) bool, answer func(http.ResponseWriter)) answers {
	did := false // requests of these tests come one after the other
	return func(w http.ResponseWriter, r *http.Request) bool {
		if did || !matches(r) {
			return false
		}
		did = true
		answer(w)
		return true
	}
}

// A question that can be asked twice is, where its answer broke off.
func TestAskAgain(t *testing.T) {
	g, host := serve(t)
	repo, m := host+"/a/b", imageOf(t, "{}")
	put(t, quick(), repo, "{}")
	cases := map[string]func(c *Client) error{
		"PUT": func(c *Client) error { return c.PutManifest(t.Context(), repo+":c", m) },
		"GET": func(c *Client) error { _, err := c.Manifest(t.Context(), repo+":c"); return err },
	}
	for _, verb := range []string{"PUT", "GET"} {
		for broken, works := range map[int]bool{2: true, 3: false} {
			g.Reset()
			g.Fault = fault(broken, 502, nil, method(verb, "/manifests/"))
			if err := cases[verb](quick()); (err == nil) != works {
				t.Errorf("%s, broken %d times: %v", verb, broken, err)
			}
			if got := g.Count(verb, "/manifests/"); got != 3 {
				t.Errorf("%s, broken %d times: sent %d times, want 3", verb, broken, got)
			}
		}
	}
}

// A registry that goes on asking for more time than is held here gets it: the error says for how long, and every other
// write waits, too.
func TestBusyForLong(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests} {
		g, host := serve(t)
		g.Fault = fault(1, status, map[string]string{"Retry-After": "60"}, method("POST", ""))
		c := quick()
		_, err := c.PutBlob(t.Context(), host+"/a/b", []byte("x"))
		busy, ok := errors.AsType[*Busy](err)
		if !ok || busy.RetryAfter() != time.Minute {
			t.Fatalf("%v; want *Busy for a minute", err)
		}
		err = c.PutManifest(t.Context(), host+"/c/d:e", imageOf(t, "{}"))
		busy, ok = errors.AsType[*Busy](err)
		if !ok || busy.RetryAfter() > time.Minute || busy.RetryAfter() < 50*time.Second ||
			!strings.Contains(err.Error(), "too many requests") {
			t.Errorf("another write: %v; want *Busy for the rest of the minute", err)
		}
		if _, err := c.HasBlob(t.Context(), host+"/a/b", digestOf("x")); err != nil {
			t.Errorf("a read: %v; it is no write", err)
		}
		if got := g.Count("POST", "") + g.Count("PUT", ""); got != 1 {
			t.Errorf("%d writes, want 1", got)
		}
	}
}

// ghcr.io asks for microseconds at times. It gets more, or all tries are gone before it takes writes again.
func TestBusyForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := registrytest.New(silent(), 0, 1)
		g.Fault = fault(99, 429, map[string]string{"Retry-After": "352.829µs"}, method("PUT", ""))
		c := New(authn.DefaultKeychain, inside{g})
		begin := time.Now()
		err := c.PutManifest(t.Context(), "ghcr.io/a/b:c", imageOf(t, "{}"))
		busy, ok := errors.AsType[*Busy](err)
		if !ok || busy.RetryAfter() != 352829*time.Nanosecond {
			t.Errorf("%v; want *Busy", err)
		}
		if got := g.Count("PUT", ""); got != 1+busyTries {
			t.Errorf("sent %d times, want %d", got, 1+busyTries)
		}
		if took := time.Since(begin); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("gave up after %v, want about 8 s", took)
		}
	})
}

func TestCancelled(t *testing.T) {
	g, host := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
			w.WriteHeader(http.StatusBadGateway)
		}
		return r.Method == http.MethodPut
	}
	c := quick()
	c.backOff = time.Hour
	if err := c.PutManifest(ctx, host+"/a/b:c", imageOf(t, "{}")); err == nil {
		t.Error("no error")
	}
	if got := g.Count("PUT", ""); got != 1 {
		t.Errorf("sent %d times after the end of the context", got)
	}
}
