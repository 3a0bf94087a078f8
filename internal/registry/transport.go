package registry

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// baseTransport sends every request of a client, those of handshakes included. It counts them, and writes down in their attempt
// which host was asked and how long it asks to wait.
type baseTransport struct {
	next  http.RoundTripper
	hosts sync.Map // name: *host

	mu       sync.Mutex
	requests map[string]int // by method
}

func (t *baseTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	a := r.Context().Value(attemptKey{}).(*attempt) // newAttempt has made it
	h := t.host(r.URL.Host)
	a.host.Store(h)
	if err := h.checkAnswering(); err != nil && a.lookUp {
		return nil, err
	}
	t.mu.Lock()
	t.requests[r.Method]++
	t.mu.Unlock()
	r, err := withFreshBody(r)
	if err != nil {
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.URL.Path != "/v2/" { // of a handshake, which a registry may answer whose storage hangs
		h.answered.Store(true)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		a.retryAfter.Store(int64(parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())))
	}
	return resp, nil
}

// withFreshBody returns the request with a fresh copy of its body. The library repeats a request after it has replaced an expired
// token, and the first request has consumed the body. A stream cannot be repeated: its upload has to start over.
func withFreshBody(r *http.Request) (*http.Request, error) {
	if stream, ok := r.Body.(*sent); ok && stream.begun.Swap(true) {
		return nil, errors.New("the registry wants the blob again, but its stream is consumed")
	}
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("reading the body of a request again: %w", err)
	}
	fresh := *r
	fresh.Body = body
	return &fresh, nil
}

// host is what a client knows of one host.
type host struct {
	name        string
	answered    atomic.Bool
	silentUntil atomic.Int64 // in Unix nanoseconds
}

func (t *baseTransport) host(name string) *host {
	found, _ := t.hosts.LoadOrStore(name, &host{name: name})
	return found.(*host)
}

// stalled is the error of an attempt that this host did not answer.
func (h *host) stalled(limit time.Duration) error {
	h.silentUntil.Store(time.Now().Add(limit).UnixNano())
	return fmt.Errorf("no response for %s from %s: %w", limit, h.name, errStalled)
}

// checkAnswering returns an error after an attempt that this host did not answer, for as long as that took, if the host has never
// answered. 500 look-ups that all wait for it in turn would hold the run for half an hour.
func (h *host) checkAnswering() error {
	if h.answered.Load() || time.Now().UnixNano() >= h.silentUntil.Load() {
		return nil
	}
	return fmt.Errorf("no response from %s, which has not answered a request yet: %w", h.name, errStalled)
}

// checkRedirect refuses a redirect that no storage of a registry needs: to plain http, or to this machine and its neighbours,
// such as the metadata service of a cloud.
func checkRedirect(r *http.Request, via []*http.Request) error {
	from, to := via[0].URL, r.URL
	ip := net.ParseIP(to.Hostname())
	switch {
	case len(via) >= 10:
		return errors.New("stopped after 10 redirects")
	case from.Scheme == "https" && to.Scheme != "https":
		return fmt.Errorf("%s redirects to %s without TLS", from.Host, to.Host)
	case ip != nil && to.Hostname() != from.Hostname() && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()):
		return fmt.Errorf("%s redirects to %s, an address of this machine's own network", from.Host, to.Host)
	}
	return nil
}
