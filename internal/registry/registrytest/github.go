// Package registrytest is a fake of GitHub's container registry for tests and measurements: a handler in front of a
// registry that answers as ghcr.io does. It limits writes, deletes nothing, knows its blobs by repository, and counts.
package registrytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// GitHub is the fake. Set its fields before the first request.
type GitHub struct {
	// Deletes lets DELETE through to the registry behind. ghcr.io answers 405.
	Deletes bool
	// NoMounts answers a mount with 202, which begins an upload: the registry would not mount.
	NoMounts bool
	// Lax takes manifests that name absent blobs.
	Lax bool
	// Fault answers in place of the registry where it returns true. It is asked before anything else is looked at.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	next   http.Handler
	bucket *rate.Limiter

	mu    sync.Mutex
	asked []*Request
	blobs map[string]bool // "repository@digest"
}

// Request is one that arrived, with the status of its answer.
type Request struct {
	Method, Path string
	Status       int
}

// New makes a fake that stands in front of next, a whole registry, and takes perMinute writes a minute, of which burst
// may come at once; ghcr.io takes 2,000. 0 a minute is no limit.
func New(next http.Handler, perMinute float64, burst int) *GitHub {
	limit := rate.Inf
	if perMinute > 0 {
		limit = rate.Limit(perMinute / 60)
	}
	return &GitHub{next: next, bucket: rate.NewLimiter(limit, burst), blobs: map[string]bool{}}
}

// ServeHTTP answers as ghcr.io would.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	noted := &noting{ResponseWriter: w, mu: &g.mu, request: &Request{r.Method, r.URL.Path, http.StatusOK}}
	g.mu.Lock() // before the answer: a test may count as soon as it has that
	g.asked = append(g.asked, noted.request)
	g.mu.Unlock()
	switch {
	case g.Fault != nil && g.Fault(noted, r):
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !g.admit(noted):
	default:
		g.serve(noted, r)
	}
}

// admit takes a token, or refuses with the time until there is one.
func (g *GitHub) admit(w http.ResponseWriter) bool {
	if g.bucket.Allow() {
		return true
	}
	missing := 1 - g.bucket.Tokens()
	after := fmt.Sprintf("%.3fms", max(missing, 0)/float64(g.bucket.Limit())*1000)
	w.Header().Set("Retry-After", after)
	refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS",
		fmt.Sprintf("retry-after: %s, allowed: %.0f/minute", after, float64(g.bucket.Limit())*60), nil)
	return false
}

// Requests are all that arrived, in that order.
func (g *GitHub) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Request, len(g.asked))
	for i, r := range g.asked {
		all[i] = *r
	}
	return all
}

// Reset forgets the requests, and no blob.
func (g *GitHub) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = nil
}

// Count is how many requests of a method arrived whose path contains part. An empty method is every one.
func (g *GitHub) Count(method, part string) int {
	n := 0
	for _, r := range g.Requests() {
		if (method == "" || r.Method == method) && strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// Methods are the numbers of requests by method, without those that look for the registry itself.
func (g *GitHub) Methods() map[string]int {
	n := map[string]int{}
	for _, r := range g.Requests() {
		if r.Path != "/v2/" {
			n[r.Method]++
		}
	}
	return n
}

// Refused is how many requests were answered with 429.
func (g *GitHub) Refused() int {
	n := 0
	for _, r := range g.Requests() {
		if r.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

// noting keeps the status of an answer.
type noting struct {
	http.ResponseWriter
	mu      *sync.Mutex
	request *Request
}

func (n *noting) WriteHeader(status int) {
	n.mu.Lock()
	n.request.Status = status
	n.mu.Unlock()
	n.ResponseWriter.WriteHeader(status)
}

func (n *noting) status() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.request.Status
}
