package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told collects what Copying is told.
type told struct {
	mu    sync.Mutex
	calls [][2]int64
}

func (t *told) copying(_ string, done, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, [2]int64{done, size})
}

// ends are the first and the last that was told.
func (t *told) ends() [][2]int64 {
	if len(t.calls) == 0 {
		return nil
	}
	return [][2]int64{t.calls[0], t.calls[len(t.calls)-1]}
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
		requests map[string]int
		copied   [][2]int64
	}{
		{name: "mounted", from: same, requests: map[string]int{"POST": 1}},
		{name: "the registry does not mount", from: same, noMounts: true,
			requests: map[string]int{"POST": 1, "HEAD": 1, "GET": 1, "PUT": 1}, copied: copied},
		{name: "the registry has no mounts", from: same, fault: http.StatusMethodNotAllowed,
			requests: map[string]int{"POST": 2, "HEAD": 1, "GET": 1, "PUT": 1}, copied: copied},
		{name: "not mounted, but there", from: same, noMounts: true,
			requests: map[string]int{"POST": 1, "HEAD": 1, "DELETE": 1},
			prepare:  func(t *testing.T, _ *Client, to string) { put(t, quick(), to, content) }},
		{name: "another registry", from: other, requests: map[string]int{"POST": 1, "HEAD": 1, "PUT": 1}, copied: copied},
		{name: "another registry, but there", from: other, requests: map[string]int{"HEAD": 1},
			prepare: func(t *testing.T, _ *Client, to string) { put(t, quick(), to, content) }},
		{name: "known", from: other, requests: map[string]int{},
			prepare: func(t *testing.T, c *Client, to string) { put(t, c, to, content) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			_, second := serve(t)
			to, from := host+"/to/it", c.from(host, second)+"/from/it"
			put(t, quick(), from, content)
			client, progress := quick(), &told{}
			client.Copying = progress.copying
			if c.prepare != nil {
				c.prepare(t, client, to)
			}
			g.NoMounts = c.noMounts
			g.Reset()
			if c.fault != 0 {
				g.Fault = fault(1, c.fault, nil, method("POST", ""))
			}
			for range 2 {
				if err := client.Mount(t.Context(), from, to, digestOf(content), int64(len(content))); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.requests, g.Methods()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.copied, progress.ends()); diff != "" {
				t.Errorf("what Copying was told (-want +got):\n%s", diff)
			}
			got, err := quick().Blob(t.Context(), to, digestOf(content))
			if err != nil || string(got) != content {
				t.Errorf("the blob: %q, %v", got, err)
			}
		})
	}
}

func TestMountInPlace(t *testing.T) {
	g, host := serve(t)
	if err := quick().Mount(t.Context(), host+"/a/b", host+"/a/b", digestOf("x"), 1); err != nil || len(g.Requests()) > 0 {
		t.Errorf("%v, %v; want nothing done", err, g.Requests())
	}
}

// Two mounts of one digest at once can break a registry.
func TestMountsOfOneDigestTakeTurns(t *testing.T) {
	g, host := serve(t)
	put(t, quick(), host+"/from/it", "x", "y")
	g.Reset()
	var under, most atomic.Int32
	g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.RawQuery, "mount="+strings.ReplaceAll(digestOf("x"), ":", "%3A")) {
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			for range 1000 { // let others come
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
		t.Errorf("%d mounts of one digest at once", most.Load())
	}
	if posts := g.Count("POST", ""); posts != 8 {
		t.Errorf("%d mounts, want one for each of 4 repositories and 2 digests", posts)
	}
}

// Who waits for another's mount shares its answer, but not its cancellation.
func TestMountIsNotCancelledForOthers(t *testing.T) {
	g, host := serve(t)
	put(t, quick(), host+"/from/it", "x")
	arrived, let := make(chan struct{}), make(chan struct{})
	var first sync.Once
	g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			first.Do(func() { close(arrived); <-let })
		}
		return false
	}
	c := quick()
	mount := func(ctx context.Context) error { return c.Mount(ctx, host+"/from/it", host+"/to/it", digestOf("x"), 1) }
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() { results <- mount(ctx) }()
	<-arrived
	second := make(chan error, 1)
	go func() { second <- mount(t.Context()) }()
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v; want its cancellation", err)
	}
	close(let)
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
}

// A copy whose source or target fails begins anew, and its error says which of them failed.
func TestCopyBreaks(t *testing.T) {
	content := strings.Repeat("layer", 1000)
	short := func(n int) answers {
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
		source, target answers
		says           string
	}{
		{name: "the source, once", source: short(1)},
		{name: "the source, always", source: short(99), says: "reading the blob"},
		{name: "the target, once", target: fault(1, 502, nil, method("PUT", "/uploads/"))},
		{name: "the target, asked to wait",
			target: fault(1, 429, map[string]string{"Retry-After": "1ms"}, method("PUT", "/uploads/"))},
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
				t.Errorf("the blob is there: %v, %v", there, err)
			}
		})
	}
}

// The upload that a registry begins in place of a mount is of no use once it broke off.
func TestCopyBeginsAnotherUpload(t *testing.T) {
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

// Who waits does not wait longer than its own context.
func TestWaitingForAMountIsCancelled(t *testing.T) {
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
