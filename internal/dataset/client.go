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

// client asks the hub.
type client struct {
	http  *http.Client
	token string
	// hub is the hub's base: the only place that the token is for.
	hub *url.URL
	// patience is the longest wait that a server may ask for.
	patience time.Duration
	wait     func(context.Context, time.Duration) error
}

// answer is a good one.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	address *url.URL // after redirects
}

// dialTimeout bounds the look-up of a host and the connection to it. Where there is no network, the run goes on with
// what it has in a matter of seconds.
const dialTimeout = 3 * time.Second

// The bounds of one request: until its answer begins, and until it has ended.
const (
	answerTimeout  = 20 * time.Second
	requestTimeout = 3 * time.Minute
)

// newTransport has the proxies of the environment, like the default one, but its own patience.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	t.TLSHandshakeTimeout = answerTimeout
	t.ResponseHeaderTimeout = answerTimeout
	return t
}

func newHTTP(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if len(before) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		// The hub redirects to storage of other companies, by addresses that carry their own permission. net/http would
		// keep the token on the way to a subdomain or another port of the hub's host.
		for _, earlier := range before {
			if !sameOrigin(earlier.URL, next.URL) {
				next.Header.Del("Authorization")
			}
		}
		return nil
	}}
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// backoff are the waits between the attempts of one request, where the server does not say how long.
var backoff = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}

// dialAgain is the wait before the second and last attempt to reach a host that refused at once.
const dialAgain = 500 * time.Millisecond

// get asks until there is an answer, which is good (200 to 299) or an error.
func (c *client) get(ctx context.Context, address string, header http.Header, limit int64) (answer, error) {
	for attempt := 0; ; attempt++ {
		got, err := c.once(ctx, address, header, limit)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		pause, again := c.pause(err, attempt)
		if !again {
			return got, err
		}
		if err := c.wait(ctx, pause); err != nil {
			return got, err
		}
	}
}

// transient is an error that another attempt may not meet.
type transient struct {
	error
	after time.Duration // as the server asks; 0 where it does not
}

func (e transient) Unwrap() error { return e.error }

// pause tells how long to wait before the next attempt, if there is to be one.
func (c *client) pause(err error, attempt int) (time.Duration, bool) {
	var dial *net.OpError
	if errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect") {
		return dialAgain, attempt == 0 && !dial.Timeout()
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return 0, false
	}
	var passing transient
	if !errors.As(err, &passing) || attempt >= len(backoff) || passing.after > c.patience {
		return 0, false
	}
	return max(passing.after, backoff[attempt]), true
}

func (c *client) once(ctx context.Context, address string, header http.Header, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, fmt.Errorf("asking %s: %w", address, err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "eval-images")
	if c.token != "" && sameOrigin(c.hub, request.URL) {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, transient{error: unsigned(request.URL, err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return answer{}, transient{error: fmt.Errorf("reading the answer of %s: %w", shown(request.URL), err)}
	case int64(len(body)) > limit:
		return answer{}, fmt.Errorf("%s answered with more than %d bytes", shown(request.URL), limit)
	}
	return judge(request.URL, response, body)
}

// unsigned keeps the query, which may be a signature, out of what net/http says of a failed request.
func unsigned(address *url.URL, err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("asking %s: %w", shown(address), err)
}

// judge tells good answers from bad ones, and passing ones from those that will stay. 501 is the hub's word for a dataset that
// it never converts (huggingface/dataset-viewer, libs/libcommon exceptions).
func judge(address *url.URL, response *http.Response, body []byte) (answer, error) {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		if looksLikeHTML(response.Header, body) {
			return answer{}, transient{error: fmt.Errorf("%s answered with a web page in place of data", shown(address))}
		}
		return answer{status, response.Header, body, response.Request.URL}, nil
	}
	err := newStatusError(address, response, body)
	passing := status == http.StatusTooManyRequests || status == http.StatusRequestTimeout ||
		status >= 500 && status != http.StatusNotImplemented
	if !passing {
		return answer{}, err
	}
	return answer{}, transient{error: err, after: announced(response.Header, time.Now())}
}

// announced is the wait that a server asks for: Retry-After, in seconds or as a date, or else the hub's RateLimit header,
// whose t is the time until its window ends: "api";r=0;t=187.
func announced(header http.Header, now time.Time) time.Duration {
	after := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(after); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(0, date.Sub(now))
	}
	for parameter := range strings.SplitSeq(header.Get("RateLimit"), ";") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(parameter), "t="); ok {
			if seconds, err := strconv.Atoi(t); err == nil {
				return max(0, time.Duration(seconds)*time.Second)
			}
		}
	}
	return 0
}

// sleep waits, but not beyond the end of ctx.
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
