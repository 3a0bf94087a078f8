// Package registrytest is a fake of GitHub's container registry for tests. Like ghcr.io it limits writes, deletes nothing, and
// keeps the blobs of each repository apart. It records the requests.
package registrytest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// GitHub is the fake. Its fields do not change after the first request.
type GitHub struct {
	// Deletes passes DELETE on to the registry behind. ghcr.io answers 405.
	Deletes bool
	// NoMounts answers a mount by starting an upload (202).
	NoMounts bool
	// Lax accepts manifests whose blobs do not exist.
	Lax bool
	// Fault is called for each request before anything else. If it returns true, it has answered the request.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	next   http.Handler
	bucket *rate.Limiter

	mu       sync.Mutex
	requests []*Request
	blobs    map[string]bool // "repository@digest"
}

// Request is a request that arrived, with the status of the response.
type Request struct {
	Method, Path string
	Status       int
}

// New returns a fake in front of next, a complete registry. It accepts perMinute writes per minute, and burst at once; ghcr.io
// accepts 2,000 per minute. 0 per minute means no limit.
func New(next http.Handler, perMinute float64, burst int) *GitHub {
	limit := rate.Inf
	if perMinute > 0 {
		limit = rate.Limit(perMinute / 60)
	}
	return &GitHub{next: next, bucket: rate.NewLimiter(limit, burst), blobs: map[string]bool{}}
}

// Next returns the registry behind.
func (g *GitHub) Next() http.Handler { return g.next }

// ServeHTTP answers as ghcr.io would.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	recorder := &statusRecorder{ResponseWriter: w, mu: &g.mu, request: &Request{r.Method, r.URL.Path, http.StatusOK}}
	g.mu.Lock() // before the response: a test may count the requests as soon as it has that
	g.requests = append(g.requests, recorder.request)
	g.mu.Unlock()
	switch {
	case g.Fault != nil && g.Fault(recorder, r):
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !g.allow(recorder):
	default:
		g.serve(recorder, r)
	}
}

// allow takes a token. If there is none, it answers with the time until there is one, and returns false.
func (g *GitHub) allow(w http.ResponseWriter) bool {
	if g.bucket.Allow() {
		return true
	}
	missing := 1 - g.bucket.Tokens()
	after := fmt.Sprintf("%.3fms", max(missing, 0)/float64(g.bucket.Limit())*1000)
	w.Header().Set("Retry-After", after)
	writeError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS",
		fmt.Sprintf("retry-after: %s, allowed: %.0f/minute", after, float64(g.bucket.Limit())*60), nil)
	return false
}

// Requests returns the requests in the order of their arrival.
func (g *GitHub) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Request, len(g.requests))
	for i, r := range g.requests {
		all[i] = *r
	}
	return all
}

// Reset clears the list of requests.
func (g *GitHub) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = nil
}

// Count returns the number of requests with a method whose path contains part. An empty method matches all.
func (g *GitHub) Count(method, part string) int {
	n := 0
	for _, r := range g.Requests() {
		if (method == "" || r.Method == method) && strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// Methods counts the requests by method, without those for /v2/.
func (g *GitHub) Methods() map[string]int {
	n := map[string]int{}
	for _, r := range g.Requests() {
		if r.Path != "/v2/" {
			n[r.Method]++
		}
	}
	return n
}

// RateLimited returns the number of requests that were answered with 429.
func (g *GitHub) RateLimited() int {
	n := 0
	for _, r := range g.Requests() {
		if r.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

// statusRecorder records the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	mu      *sync.Mutex
	request *Request
}

func (s *statusRecorder) WriteHeader(status int) {
	s.mu.Lock()
	s.request.Status = status
	s.mu.Unlock()
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) status() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.request.Status
}

// Hosts maps hosts to registries. It is a transport that reaches them without a network, so it works with the fake time of
// testing/synctest. A handler that panics with http.ErrAbortHandler breaks the connection, as in a server.
type Hosts map[string]http.Handler

// RoundTrip calls the handler of the host. Other hosts cannot be resolved.
func (h Hosts) RoundTrip(r *http.Request) (response *http.Response, err error) {
	handler, known := h[r.URL.Host]
	if !known {
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Host)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			response, err = nil, errors.New("read: connection reset by peer")
		} else if cause != nil {
			panic(cause)
		}
	}()
	recorder, request := httptest.NewRecorder(), r.Clone(r.Context())
	if request.Body == nil {
		request.Body = http.NoBody
	}
	defer request.Body.Close()
	handler.ServeHTTP(recorder, request)
	response = recorder.Result()
	response.Request = r
	return response, nil
}
