package dataset

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client sends GET requests to the hub and its storage, with retries.
type client struct {
	http  *http.Client
	token string
	// hub is the hub's base URL. Only its origin gets the token.
	hub *url.URL
	// maxRetryAfter is the longest wait that a server may ask for. A longer one fails the request.
	maxRetryAfter time.Duration
	// wait is sleep, or a test's record of the waits.
	wait func(context.Context, time.Duration) error
}

// response is a response with a 2xx status.
type response struct {
	status  int
	header  http.Header
	body    []byte
	address *url.URL // after redirects
}

// dialTimeout bounds the DNS look-up and the connection. It is short, so that a run without a network falls back to the
// embedded list within seconds.
const dialTimeout = 3 * time.Second

// headerTimeout bounds the wait for a response header, and requestTimeout the whole request.
const (
	headerTimeout  = 20 * time.Second
	requestTimeout = 3 * time.Minute
)

// newTransport is http.DefaultTransport, with its proxy settings, but with shorter timeouts.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	t.TLSHandshakeTimeout = headerTimeout
	t.ResponseHeaderTimeout = headerTimeout
	return t
}

func newHTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if len(before) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		// The hub redirects to signed URLs of other companies' storage. net/http would keep the token for a subdomain or
		// another port of the hub's host.
		for _, earlier := range before {
			if !sameOrigin(earlier.URL, next.URL) {
				next.Header.Del("Authorization")
			}
		}
		return nil
	}}
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// backoff is the wait before each retry of a request when the server does not ask for a longer one.
var backoff = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}

// dialRetryDelay is the wait before the only retry when a host refused the connection.
const dialRetryDelay = 500 * time.Millisecond

// get sends a GET request, and retries it after transient errors. A status other than 2xx is an error.
func (c *client) get(ctx context.Context, address string, header http.Header, limit int64) (response, error) {
	for attempt := 0; ; attempt++ {
		got, err := c.getOnce(ctx, address, header, limit)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		delay, retry := c.retryDelay(err, attempt)
		if !retry {
			return got, err
		}
		if err := c.wait(ctx, delay); err != nil {
			return got, err
		}
	}
}

// transient is an error after which a retry may succeed.
type transient struct {
	error
	after time.Duration // the wait that the server asks for, or 0
}

func (e transient) Unwrap() error { return e.error }

// retryDelay returns how long to wait before the next attempt, and whether there is one.
func (c *client) retryDelay(err error, attempt int) (time.Duration, bool) {
	var dial *net.OpError
	if errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect") {
		return dialRetryDelay, attempt == 0 && !dial.Timeout()
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return 0, false
	}
	var temporary transient
	if !errors.As(err, &temporary) || attempt >= len(backoff) || temporary.after > c.maxRetryAfter {
		return 0, false
	}
	return max(temporary.after, backoff[attempt]), true
}

func (c *client) getOnce(ctx context.Context, address string, header http.Header, limit int64) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return response{}, fmt.Errorf("requesting %s: %w", address, err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "eval-images")
	if c.token != "" && sameOrigin(c.hub, request.URL) {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(request)
	if err != nil {
		return response{}, transient{error: withoutQuery(request.URL, err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return response{}, transient{error: fmt.Errorf("reading the response of %s: %w", redacted(request.URL), err)}
	case int64(len(body)) > limit:
		return response{}, fmt.Errorf("%s answered with more than %d bytes", redacted(request.URL), limit)
	}
	return checkResponse(request.URL, resp, body)
}

// withoutQuery removes the query, which may hold a signature, from net/http's error for a failed request.
func withoutQuery(address *url.URL, err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("requesting %s: %w", redacted(address), err)
}

// checkResponse returns an error for a status other than 2xx, and for a web page. The error is transient if a retry may
// succeed. 501 is not transient: the hub returns it for datasets that it never converts (huggingface/dataset-viewer,
// libs/libcommon exceptions).
func checkResponse(address *url.URL, resp *http.Response, body []byte) (response, error) {
	status := resp.StatusCode
	if status >= 200 && status < 300 {
		if looksLikeHTML(resp.Header, body) {
			return response{}, transient{error: fmt.Errorf("%s answered with a web page instead of data", redacted(address))}
		}
		return response{status, resp.Header, body, resp.Request.URL}, nil
	}
	err := newStatusError(address, resp, body)
	retry := status == http.StatusTooManyRequests || status == http.StatusRequestTimeout ||
		status >= 500 && status != http.StatusNotImplemented
	if !retry {
		return response{}, err
	}
	return response{}, transient{error: err, after: retryAfter(resp.Header, time.Now())}
}

// retryAfter returns the wait that a server asks for, or 0. It reads Retry-After, in seconds or as a date, and then the
// hub's RateLimit header, whose t is the number of seconds until its window ends: "api";r=0;t=187.
func retryAfter(header http.Header, now time.Time) time.Duration {
	after := strings.TrimSpace(header.Get("Retry-After"))
	if wait, ok := secondsOf(after); ok {
		return wait
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(0, date.Sub(now))
	}
	for parameter := range strings.SplitSeq(header.Get("RateLimit"), ";") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(parameter), "t="); ok {
			if wait, ok := secondsOf(t); ok {
				return wait
			}
		}
	}
	return 0
}

// secondsOf parses a number of seconds. More than a year counts as a year, because a time.Duration cannot hold every number.
func secondsOf(text string) (time.Duration, bool) {
	const year = 365 * 24 * 60 * 60
	seconds, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(text, "-") {
		seconds, err = year, nil
	}
	return time.Duration(min(max(0, seconds), year)) * time.Second, err == nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
