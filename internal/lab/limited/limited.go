// Package limited is a proxy that gives a registry the limits of ghcr.io: a number of writes a minute, and after a
// small burst a 429 with the wait in milliseconds. It counts the requests.
package limited

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are the writes that a registry accepts.
type Limits struct {
	PerMinute int // writes; 0 is no limit
	Burst     int // writes that are taken at once after a pause
}

// GHCR is the limit of ghcr.io, whose answer says "allowed: 2000/minute". Its burst is not documented; this one is
// small.
var GHCR = Limits{PerMinute: 2000, Burst: 40}

// Floor returns the least time that a number of writes needs.
func (l Limits) Floor(writes int) time.Duration {
	if l.PerMinute == 0 || writes <= l.Burst {
		return 0
	}
	return time.Duration(float64(writes-l.Burst) / float64(l.PerMinute) * float64(time.Minute))
}

// Registry forwards requests to another registry.
type Registry struct {
	// Address is the host and port it listens on.
	Address string

	server  *http.Server
	limits  Limits
	mu      sync.Mutex
	bucket  *rate.Limiter
	counts  map[string]int
	refused int
}

// Start listens on a free port of the address listen and forwards to the registry at host, which speaks plain http.
func Start(listen, host string, limits Limits) (*Registry, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
	if err != nil {
		return nil, fmt.Errorf("listening in front of the registry: %w", err)
	}
	r := newRegistry(limits)
	r.Address = listener.Addr().String()
	r.server = &http.Server{Handler: r.handler(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: host})
		p.Out.Host = p.In.Host // the registry names itself so in the Location of an upload
	}})}
	go r.server.Serve(listener)
	return r, nil
}

func newRegistry(limits Limits) *Registry {
	perSecond := rate.Inf
	if limits.PerMinute > 0 {
		perSecond = rate.Limit(limits.PerMinute) / 60
	}
	return &Registry{limits: limits, bucket: rate.NewLimiter(perSecond, limits.Burst), counts: map[string]int{}}
}

// Close stops the proxy and the requests in flight.
func (r *Registry) Close() error { return r.server.Close() }

// Counts returns the number of forwarded requests by method.
func (r *Registry) Counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Refused returns the number of requests that were answered with a 429.
func (r *Registry) Refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// Writes returns the number of writes among requests counted by method.
func Writes(counts map[string]int) (n int) {
	for method, count := range counts {
		if writes(method) {
			n += count
		}
	}
	return n
}

func writes(method string) bool { return method != http.MethodGet && method != http.MethodHead }

func (r *Registry) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, ask *http.Request) {
		if wait := r.take(ask.Method, time.Now()); wait > 0 {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", fmt.Sprintf("%.3fms", wait.Seconds()*1000))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprintf(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: %s, allowed: %d/minute"}]}`, wait, r.limits.PerMinute)
			return
		}
		next.ServeHTTP(w, ask)
	})
}

// take counts a request and returns 0, or returns how long the request has to wait.
func (r *Registry) take(method string, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if writes(method) && !r.bucket.AllowN(now, 1) {
		r.refused++
		return time.Duration((1 - r.bucket.TokensAt(now)) / float64(r.bucket.Limit()) * float64(time.Second))
	}
	r.counts[method]++
	return 0
}
