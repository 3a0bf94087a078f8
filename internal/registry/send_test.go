package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

func TestPutBlobIsRetried(t *testing.T) {
	unknown := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`))
	}
	soon := map[string]string{"Retry-After": "1.5ms"}
	cases := []struct {
		name     string
		fault    faultFunc
		requests map[string]int
		says     string
	}{
		{"a failed POST", fault(2, 503, nil, method("POST", "")), map[string]int{"POST": 3, "PUT": 1}, ""},
		{"a failed PUT", fault(2, 500, nil, method("PUT", "")), map[string]int{"POST": 3, "PUT": 3}, ""},
		{"always", fault(9, 500, nil, method("PUT", "")), map[string]int{"POST": 3, "PUT": 3}, "500 Internal Server Error"},
		{"too many requests", fault(3, 429, soon, method("PUT", "")), map[string]int{"POST": 1, "PUT": 4}, ""},
		{"a secondary rate limit", fault(1, 403, soon, method("POST", "")), map[string]int{"POST": 2, "PUT": 1}, ""},
		{"denied", fault(1, 403, nil, method("POST", "")), map[string]int{"POST": 1}, "403, not allowed"},
		{"a bad request", fault(1, 400, nil, method("PUT", "")), map[string]int{"POST": 1, "PUT": 1}, "400 Bad Request"},
		{"a lost upload", once(method("PUT", ""), unknown), map[string]int{"POST": 2, "PUT": 2}, ""},
		{
			"a broken connection", once(method("PUT", ""), func(http.ResponseWriter) { panic(http.ErrAbortHandler) }),
			map[string]int{"POST": 2, "PUT": 2},
			"",
		},
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

// once answers the first request that matches by answer.
func once(matches func(*http.Request) bool, answer func(http.ResponseWriter)) faultFunc {
	done := false // these tests send one request at a time
	return func(w http.ResponseWriter, r *http.Request) bool {
		if done || !matches(r) {
			return false
		}
		done = true
		answer(w)
		return true
	}
}

func TestManifestRequestsAreRetriedTwice(t *testing.T) {
	g, host := serve(t)
	repo, m := host+"/a/b", imageOf(t, "{}")
	put(t, quick(), repo, "{}")
	cases := map[string]func(c *Client, tag string) error{
		"PUT": func(c *Client, tag string) error { return c.PutManifest(t.Context(), repo+tag, m) },
		"GET": func(c *Client, _ string) error { _, err := c.Manifest(t.Context(), repo+":2"); return err },
	}
	for _, verb := range []string{"PUT", "GET"} {
		for broken, works := range map[int]bool{2: true, 3: false} {
			g.Reset()
			g.Fault = fault(broken, 502, nil, method(verb, "/manifests/"))
			if err := cases[verb](quick(), fmt.Sprint(":", broken)); (err == nil) != works {
				t.Errorf("%s, broken %d times: %v", verb, broken, err)
			}
			if got := g.Count(verb, "/manifests/"); got != 3 {
				t.Errorf("%s, broken %d times: sent %d times, want 3", verb, broken, got)
			}
		}
	}
}

// When a registry asks for a pause, all writes wait for its end. Reads do not wait.
func TestPauseStopsAllWrites(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			g := registrytest.New(silent(), 0, 1)
			g.Fault = fault(3, status, map[string]string{"Retry-After": "60"}, method("POST", ""))
			reported := &reports{}
			c := New(authn.DefaultKeychain, registrytest.Hosts{"r.example": g}, reported)
			begin := time.Now()
			var others sync.WaitGroup
			others.Go(func() {
				time.Sleep(time.Second)
				if _, err := c.HasBlob(t.Context(), "r.example/a/b", digestOf("x")); err != nil || time.Since(begin) != time.Second {
					t.Errorf("%d: a read: %v after %v; it must not wait", status, err, time.Since(begin))
				}
				if err := c.PutManifest(t.Context(), "r.example/c/d:e", imageOf(t, "{}")); asUnknownBlobs(err) == nil || time.Since(begin) < time.Minute {
					t.Errorf("%d: another write: %v after %v; want an error of the registry after the first minute", status, err, time.Since(begin))
				}
			})
			if _, err := c.PutBlob(t.Context(), "r.example/a/b", []byte("x")); err != nil || time.Since(begin) != 3*time.Minute {
				t.Errorf("%d: %v after %v; want three pauses of a minute and no error", status, err, time.Since(begin))
			}
			others.Wait()
			if diff := cmp.Diff([]time.Duration{time.Minute, time.Minute, time.Minute}, reported.pauses); diff != "" {
				t.Errorf("%d: reported pauses (-want +got):\n%s", status, diff)
			}
		})
	}
}

// A request waits for a rate limit up to maxWait, whatever the number of retries: ghcr.io sometimes asks for microseconds, other
// registries for an hour.
func TestRateLimitThatNeverEnds(t *testing.T) {
	cases := []struct {
		asks        string
		after       time.Duration
		least, most time.Duration
		sent        int // at most
	}{
		{"352.829µs", 352829 * time.Nanosecond, maxWait - 2*time.Minute, maxWait, 30},
		{"60", time.Minute, maxWait - 2*time.Minute, maxWait, 16},
		{"3600", time.Hour, 0, 0, 1},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			g := registrytest.New(silent(), 0, 1)
			g.Fault = fault(99, 429, map[string]string{"Retry-After": c.asks}, method("PUT", ""))
			client := New(authn.DefaultKeychain, registrytest.Hosts{"ghcr.io": g}, nil)
			begin := time.Now()
			err := client.PutManifest(t.Context(), "ghcr.io/a/b:c", imageOf(t, "{}"))
			limited, ok := errors.AsType[*RateLimited](err)
			if !ok || limited.RetryAfter() != c.after {
				t.Fatalf("%v; want *RateLimited", err)
			}
			if got := g.Count("PUT", ""); got > c.sent {
				t.Errorf("%s: sent %d times, want at most %d", c.asks, got, c.sent)
			}
			if took := time.Since(begin); took < c.least || took > c.most || (took-limited.Waited()).Abs() > time.Second {
				t.Errorf("%s: gave up after %v, of which Waited says %v; want %v to %v", c.asks, took, limited.Waited(), c.least, c.most)
			}
		})
	}
}

func TestCancelEndsRetries(t *testing.T) {
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
	c.firstBackoff = time.Hour
	if err := c.PutManifest(ctx, host+"/a/b:c", imageOf(t, "{}")); err == nil {
		t.Error("no error")
	}
	if got := g.Count("PUT", ""); got != 1 {
		t.Errorf("sent %d times, want 1: the context has ended", got)
	}
}
