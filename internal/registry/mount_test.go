package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// reports records the calls of a Reporter.
type reports struct {
	mu     sync.Mutex
	copies [][2]int64 // done and size
	pauses []time.Duration
}

func (r *reports) Copying(_ string, done, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copies = append(r.copies, [2]int64{done, size})
}

func (r *reports) Pausing(_ string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pauses = append(r.pauses, wait)
}

// firstAndLast returns the first and the last report of copies.
func (r *reports) firstAndLast() [][2]int64 {
	if len(r.copies) == 0 {
		return nil
	}
	return [][2]int64{r.copies[0], r.copies[len(r.copies)-1]}
}

func TestMount(t *testing.T) {
	const content = "a layer"
	copied := [][2]int64{{0, int64(len(content))}, {int64(len(content)), int64(len(content))}}
	other := func(g, other string) string { return other }
	same := func(g, other string) string { return g }
	cases := []struct {
		name     string
		from     func(g, other string) string
		prepare  func(t *testing.T, c *Client, to string)
		noMounts bool
		fault    int // the status of the answer to a mount
		deny     int // how many HEADs are denied
		requests map[string]int
		copied   [][2]int64
	}{
		{name: "mounted", from: same, requests: map[string]int{"HEAD": 1, "POST": 1}},
		{
			name: "it exists", from: same, requests: map[string]int{"HEAD": 1},
			prepare: func(t *testing.T, _ *Client, to string) { put(t, quick(), to, content) },
		},
		{
			name: "the registry does not mount", from: same, noMounts: true,
			requests: map[string]int{"POST": 1, "HEAD": 1, "GET": 1, "PUT": 1}, copied: copied,
		},
		{
			name: "the registry has no mounts", from: same, fault: http.StatusMethodNotAllowed,
			requests: map[string]int{"POST": 2, "HEAD": 1, "GET": 1, "PUT": 1}, copied: copied,
		},
		{
			name: "the registry does not say what a repository has that does not exist", from: same, deny: 1,
			requests: map[string]int{"HEAD": 1, "POST": 1},
		},
		{name: "another registry", from: other, requests: map[string]int{"POST": 1, "HEAD": 1, "PUT": 1}, copied: copied},
		{
			name: "another registry, but it exists", from: other, requests: map[string]int{"HEAD": 1},
			prepare: func(t *testing.T, _ *Client, to string) { put(t, quick(), to, content) },
		},
		{
			name: "known", from: other, requests: map[string]int{},
			prepare: func(t *testing.T, c *Client, to string) { put(t, c, to, content) },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			_, second := serve(t)
			to, from := host+"/to/it", c.from(host, second)+"/from/it"
			put(t, quick(), from, content)
			reported := &reports{}
			client := quickWith(reported)
			if c.prepare != nil {
				c.prepare(t, client, to)
			}
			g.NoMounts = c.noMounts
			g.Reset()
			if c.fault != 0 {
				g.Fault = fault(1, c.fault, nil, method("POST", ""))
			}
			if c.deny != 0 {
				g.Fault = fault(c.deny, http.StatusUnauthorized, nil, method("HEAD", ""))
			}
			for range 2 {
				if err := client.Mount(t.Context(), from, to, digestOf(content), int64(len(content))); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.requests, g.Methods()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.copied, reported.firstAndLast()); diff != "" {
				t.Errorf("reports of copies (-want +got):\n%s", diff)
			}
			got, err := quick().Blob(t.Context(), to, digestOf(content))
			if err != nil || string(got) != content {
				t.Errorf("the blob: %q, %v", got, err)
			}
		})
	}
}

func TestMountInTheSameRepositoryDoesNothing(t *testing.T) {
	g, host := serve(t)
	if err := quick().Mount(t.Context(), host+"/a/b", host+"/a/b", digestOf("x"), 1); err != nil || len(g.Requests()) > 0 {
		t.Errorf("%v, %v; want no requests", err, g.Requests())
	}
}

// Two concurrent mounts of one digest can break a registry.
func TestOneDigestIsMountedByOneRequestAtATime(t *testing.T) {
	g, host := serve(t)
	put(t, quick(), host+"/from/it", "x", "y")
	g.Reset()
	var under, most atomic.Int32
	g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.RawQuery, "mount="+strings.ReplaceAll(digestOf("x"), ":", "%3A")) {
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			for range 1000 { // give other requests time to arrive
				g.Count("", "")
			}
		}
		return false
	}
	c := quick()
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			to := host + "/to/" + string(rune('a'+i%4))
			for _, content := range []string{"x", "y"} {
				if err := c.Mount(t.Context(), host+"/from/it", to, digestOf(content), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d concurrent mounts of one digest", most.Load())
	}
	if posts := g.Count("POST", ""); posts != 8 {
		t.Errorf("%d mounts, want one for each of 4 repositories and 2 digests", posts)
	}
}

// A caller that waits for the mount of another caller gets its result, but not its cancellation.
func TestCancelDoesNotReachOtherCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := registrytest.New(silent(), 0, 1)
		c := New(authn.DefaultKeychain, registrytest.Hosts{"r.example": g}, nil)
		put(t, New(authn.DefaultKeychain, registrytest.Hosts{"r.example": g}, nil), "r.example/from/it", "x")
		g.Reset()
		var first sync.Once
		g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				first.Do(func() { <-r.Context().Done(); panic(http.ErrAbortHandler) })
			}
			return false
		}
		ctx, cancel := context.WithCancel(t.Context())
		var errs [3]error
		for i, ctx := range []context.Context{ctx, t.Context(), t.Context()} {
			go func() { errs[i] = c.Mount(ctx, "r.example/from/it", "r.example/to/it", digestOf("x"), 1) }()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		if !errors.Is(errs[0], context.Canceled) || errs[1] != nil || errs[2] != nil {
			t.Errorf("%v; want one cancellation", errs)
		}
		if posts := g.Count("POST", ""); posts != 2 {
			t.Errorf("%d mounts, want the cancelled one and one for both other callers", posts)
		}
	})
}

// A copy starts over when its source or target fails, and its error says which of them failed.
func TestCopyIsRetried(t *testing.T) {
	content := strings.Repeat("layer", 1000)
	short := func(n int) faultFunc {
		var asked atomic.Int32
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") || int(asked.Add(1)) > n {
				return false
			}
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		}
	}
	cases := []struct {
		name           string
		source, target faultFunc
		says           string
	}{
		{name: "the source, once", source: short(1)},
		{name: "the source, always", source: short(99), says: "reading the blob"},
		{name: "the target, once", target: fault(1, 502, nil, method("PUT", "/uploads/"))},
		{
			name:   "the target, asked to wait",
			target: fault(1, 429, map[string]string{"Retry-After": "1ms"}, method("PUT", "/uploads/")),
		},
		{name: "the target, always", target: fault(99, 502, nil, method("PUT", "/uploads/")), says: "502 Bad Gateway"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			target, host := serve(t)
			source, second := serve(t)
			put(t, quick(), second+"/from/it", content)
			source.Fault, target.Fault = c.source, c.target
			client := quick()
			err := client.Mount(t.Context(), second+"/from/it", host+"/to/it", digestOf(content), int64(len(content)))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Fatalf("%v; want %q", err, c.says)
			}
			there, err := client.HasBlob(t.Context(), host+"/to/it", digestOf(content))
			if err != nil || there != (c.says == "") {
				t.Errorf("the blob exists: %v, %v", there, err)
			}
		})
	}
}

// The upload that a registry starts instead of a mount is not used again after a failure.
func TestRetriedCopyStartsAnotherUpload(t *testing.T) {
	g, host := serve(t)
	put(t, quick(), host+"/from/it", "x")
	g.Reset()
	g.NoMounts = true
	var uploads []string
	lost := fault(1, 404, nil, method("PUT", "/uploads/"))
	g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			uploads = append(uploads, r.URL.Path)
		}
		if !lost(w, r) {
			return false
		}
		_, _ = w.Write([]byte(`{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`))
		return true
	}
	if err := quick().Mount(t.Context(), host+"/from/it", host+"/to/it", digestOf("x"), 1); err != nil {
		t.Fatal(err)
	}
	if len(uploads) != 2 || uploads[0] == uploads[1] || g.Count("POST", "") != 2 {
		t.Errorf("%d POST, and PUT to %v; want another upload", g.Count("POST", ""), uploads)
	}
}

func TestWaitingCallerStopsAtItsOwnContext(t *testing.T) {
	g, host := serve(t)
	put(t, quick(), host+"/from/it", "x")
	arrived, let := make(chan struct{}), make(chan struct{})
	var first sync.Once
	g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		first.Do(func() { close(arrived) })
		if r.Method == http.MethodPost {
			<-let
		}
		return false
	}
	c := quick()
	done := make(chan error, 1)
	go func() { done <- c.Mount(t.Context(), host+"/from/it", host+"/to/it", digestOf("x"), 1) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, to := range []string{"/to/it", "/to/other"} { // the same mount, and another one of the same digest
		if err := c.Mount(ctx, host+"/from/it", host+to, digestOf("x"), 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want its cancellation", to, err)
		}
	}
	close(let)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// When the source of a copy breaks, the target gets the half of a blob, and refuses it. The copy starts over because of the source.
func TestCopyWhoseSourceBreaks(t *testing.T) {
	source, target := registrytest.New(silent(), 0, 1), registrytest.New(silent(), 0, 1)
	hosts := registrytest.Hosts{"from.example": source, "to.example": target}
	content := strings.Repeat("layer", 1000)
	put(t, New(authn.DefaultKeychain, hosts, nil), "from.example/a/b", content)
	source.Fault = once(method("GET", "/blobs/"), func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write([]byte(content[:1000]))
	})
	c := New(authn.DefaultKeychain, hosts, nil).Quick()
	if err := c.Mount(t.Context(), "from.example/a/b", "to.example/c/d", digestOf(content), int64(len(content))); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int{"network": 1}, c.AskedAgain()); diff != "" {
		t.Errorf("asked again (-want +got):\n%s", diff)
	}
}
