package faults

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
)

// seen is how a client sees a fault through the proxy: by a status, by an error when the response should begin, or in its middle.
type seen struct {
	status    int
	retry     string
	broken    bool // no response
	truncated bool
}

// Each kind of fault reaches the client of a proxy as it would from the registry.
func TestFaultsThroughTheProxy(t *testing.T) {
	const blob = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
	cases := []struct {
		kind   Kind
		method string
		want   seen
	}{
		{TooManySeconds, http.MethodGet, seen{status: 429, retry: "2"}},
		{TooManyMilliseconds, http.MethodGet, seen{status: 429, retry: "250ms"}},
		{TooManyMicroseconds, http.MethodGet, seen{status: 429, retry: "352.829µs"}},
		{Secondary, http.MethodGet, seen{status: 403}},
		{SecondarySeconds, http.MethodHead, seen{status: 403, retry: "1"}},
		{SecondaryHead, http.MethodHead, seen{status: 403}},
		{Internal, http.MethodGet, seen{status: 500}},
		{BadGateway, http.MethodGet, seen{status: 502}},
		{Unavailable, http.MethodGet, seen{status: 503}},
		{Refused, http.MethodGet, seen{broken: true}},
		{Reset, http.MethodGet, seen{broken: true}},
		{CutUpload, http.MethodPost, seen{broken: true}},
		{Truncated, http.MethodGet, seen{status: 200, truncated: true}},
		{Slow, http.MethodGet, seen{status: 200}},
		{"", http.MethodGet, seen{status: 200}},
	}
	behind := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer behind.Close()
	resp, err := http.Post(behind.URL+"/v2/r/blobs/uploads/?digest="+blob, "", strings.NewReader("hello"))
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	target, _ := url.Parse(behind.URL)
	for _, c := range cases {
		t.Run(string(c.kind), func(t *testing.T) {
			injector := &Transport{Next: http.DefaultTransport, Kinds: []Kind{c.kind}, Delay: time.Millisecond}
			proxy := httptest.NewServer(injector.Proxy(target))
			defer proxy.Close()
			if resp, err := http.Get(proxy.URL + "/v2/"); err != nil || resp.StatusCode != http.StatusOK || len(injector.Injected()) > 0 {
				t.Errorf("before the faults: %v, %v, %v", resp, err, injector.Injected())
			} else {
				resp.Body.Close()
			}
			injector.SetRate(1)
			r, _ := http.NewRequestWithContext(t.Context(), c.method, proxy.URL+"/v2/r/blobs/"+blob, nil)
			if c.kind == CutUpload {
				r, _ = http.NewRequestWithContext(t.Context(), c.method, proxy.URL+"/v2/r/blobs/uploads/?digest="+blob, bytes.NewReader(make([]byte, 1<<20)))
			}
			var got seen
			resp, err := http.DefaultClient.Do(r)
			if got.broken = err != nil; err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				got.status, got.retry, got.truncated = resp.StatusCode, resp.Header.Get("Retry-After"), err != nil
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(seen{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := injector.Injected()[c.kind]; c.kind != "" && n == 0 {
				t.Error("the fault is not counted")
			}
		})
	}
}

// The same seed gives the same faults, in whatever order the requests arrive, and about as many as were asked for.
func TestFaultsDependOnTheSeed(t *testing.T) {
	faultsOf := func(seed uint64, from, step int) (all map[string]Kind) {
		all = map[string]Kind{}
		injector := &Transport{Seed: seed, Rate: 0.05, Kinds: Kinds}
		for i := range 1000 {
			u, _ := url.Parse("https://r.test/v2/r/manifests/" + strings.Repeat("x", (from+i*step)%1000))
			if kind := injector.choose(&http.Request{Method: http.MethodGet, URL: u}); kind != "" {
				all[u.Path] = kind
			}
		}
		return all
	}
	first := faultsOf(1, 0, 1)
	if len(first) < 30 || len(first) > 70 {
		t.Errorf("%d of 1000 requests failed", len(first))
	}
	if diff := cmp.Diff(first, faultsOf(1, 500, 7)); diff != "" {
		t.Errorf("another order has other faults: %s", diff)
	}
	if cmp.Equal(first, faultsOf(2, 0, 1)) {
		t.Error("another seed has the same faults")
	}
}
