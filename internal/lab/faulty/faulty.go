// Package faulty is a proxy in front of a registry. It lets a share of the requests fail in the ways in which registries
// and networks fail.
package faulty

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// fault is one way to fail.
type fault struct {
	name string
	// methods are the requests that can fail so; nil is all.
	methods []string
	// answer is given instead of the registry's, with its header Retry-After; 0 is none.
	answer     int
	retryAfter string
}

var (
	writing = []string{http.MethodPost, http.MethodPatch, http.MethodPut}
	reading = []string{http.MethodGet}
)

// Names of the faults that are more than an answer.
const (
	reset       = "connection reset"
	cutUpload   = "connection reset in the middle of an upload"
	lostAnswer  = "stored, and the answer lost"
	cutAnswer   = "answer cut off"
	slowAnswer  = "slow answer"
	wrongDigest = "wrong digest in the header"
)

var faults = []fault{
	{name: "429, in seconds", answer: http.StatusTooManyRequests, retryAfter: "1"},
	// As ghcr.io says it (https://github.com/orgs/community/discussions/27040).
	{name: "429, in milliseconds", answer: http.StatusTooManyRequests, retryAfter: "180.5ms"},
	{name: "429, in microseconds", answer: http.StatusTooManyRequests, retryAfter: "420.5µs"},
	{name: "403, secondary rate limit", answer: http.StatusForbidden, retryAfter: "1"},
	{name: "500", answer: http.StatusInternalServerError},
	{name: "502", answer: http.StatusBadGateway},
	{name: "503", answer: http.StatusServiceUnavailable},
	{name: reset},
	{name: cutUpload, methods: writing},
	{name: lostAnswer, methods: writing},
	{name: cutAnswer, methods: reading},
	{name: slowAnswer},
	{name: wrongDigest, methods: []string{http.MethodHead}},
}

// Registry forwards requests to another registry, or lets them fail.
type Registry struct {
	// Address is the host and port it listens on.
	Address string

	server *http.Server
	next   http.Handler
	slow   time.Duration // how long a slow answer takes

	mu       sync.Mutex
	random   *rand.Rand
	share    float64
	injected map[string]int
	missing  map[string]bool // paths that were answered with 404
}

// Start listens on a free port of the address listen and forwards to the registry at host, which speaks plain http. All
// requests succeed until SetShare is called.
func Start(listen, host string, seed uint64) (*Registry, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
	if err != nil {
		return nil, fmt.Errorf("listening in front of the registry: %w", err)
	}
	r := newRegistry(host, seed, 3*time.Second)
	r.Address = listener.Addr().String()
	go r.server.Serve(listener)
	return r, nil
}

func newRegistry(host string, seed uint64, slow time.Duration) *Registry {
	r := &Registry{slow: slow, random: rand.New(rand.NewPCG(seed, 1)), injected: map[string]int{}, missing: map[string]bool{}}
	r.next = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: host})
			p.Out.Host = p.In.Host // the registry names itself so in the Location of an upload
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode == http.StatusNotFound {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.missing[answer.Request.URL.Path] = true
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	r.server = &http.Server{Handler: r}
	return r
}

// Close stops the proxy and the requests in flight.
func (r *Registry) Close() error { return r.server.Close() }

// SetShare sets the share of requests that fail from now on, from 0 to 1.
func (r *Registry) SetShare(share float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share = share
}

// Injected returns the number of faults so far, by name.
func (r *Registry) Injected() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.injected)
}

// Missing returns the paths for which the registry has answered 404, sorted.
func (r *Registry) Missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.missing))
}

// draw chooses a fault for a request, or none.
func (r *Registry) draw(method string) (fault, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.random.Float64() >= r.share {
		return fault{}, false
	}
	possible := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.methods != nil && !slices.Contains(f.methods, method) })
	drawn := possible[r.random.IntN(len(possible))]
	r.injected[drawn.name]++
	return drawn, true
}

func (r *Registry) ServeHTTP(w http.ResponseWriter, ask *http.Request) {
	drawn, fails := r.draw(ask.Method)
	switch {
	case !fails:
		r.next.ServeHTTP(w, ask)
	case drawn.answer != 0:
		w.Header().Set("Content-Type", "application/json")
		if drawn.retryAfter != "" {
			w.Header().Set("Retry-After", drawn.retryAfter)
		}
		w.WriteHeader(drawn.answer)
		if drawn.answer == http.StatusForbidden {
			io.WriteString(w, `{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}]}`)
		}
	case drawn.name == cutUpload:
		io.CopyN(io.Discard, ask.Body, max(1, ask.ContentLength/2))
		panic(http.ErrAbortHandler)
	case drawn.name == lostAnswer:
		r.next.ServeHTTP(&answer{header: http.Header{}}, ask)
		panic(http.ErrAbortHandler)
	case drawn.name == cutAnswer:
		got := &answer{header: http.Header{}}
		r.next.ServeHTTP(got, ask)
		maps.Copy(w.Header(), got.header)
		w.Header().Set("Content-Length", fmt.Sprint(len(got.body)))
		w.WriteHeader(got.status)
		w.Write(got.body[:len(got.body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case drawn.name == slowAnswer:
		select {
		case <-time.After(r.slow):
		case <-ask.Context().Done():
		}
		r.next.ServeHTTP(w, ask)
	case drawn.name == wrongDigest:
		got := &answer{header: http.Header{}}
		r.next.ServeHTTP(got, ask)
		maps.Copy(w.Header(), got.header)
		if got.header.Get("Docker-Content-Digest") != "" {
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		}
		w.WriteHeader(got.status)
	default:
		panic(http.ErrAbortHandler) // net/http closes the connection without an answer
	}
}

// answer keeps what a registry answers.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.body = append(a.body, p...)
	return len(p), nil
}
