package registry

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"
)

// RateLimited is the error of a request that a registry rejects until some time has passed.
type RateLimited struct {
	after  time.Duration
	waited time.Duration
	Err    error
}

func (e *RateLimited) Error() string { return e.Err.Error() }

// Unwrap returns the registry's response as an error.
func (e *RateLimited) Unwrap() error { return e.Err }

// RetryAfter is how long the registry asks to wait.
func (e *RateLimited) RetryAfter() time.Duration { return e.after }

// Waited is how long the request has waited so far because the registry asked for it.
func (e *RateLimited) Waited() time.Duration { return e.waited }

// retryAfterTransport stores the Retry-After header of an error response in the retryAfter of the request's context. The errors
// of the library do not keep the header.
type retryAfterTransport struct{ next http.RoundTripper }

func (t retryAfterTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if value, ok := r.Context().Value(retryAfterKey{}).(*retryAfter); ok && err == nil && resp.StatusCode >= http.StatusBadRequest {
		value.nanoseconds.Store(int64(parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())))
	}
	return resp, err
}

type retryAfterKey struct{}

// retryAfter is the wait that the last error response asked for.
type retryAfter struct{ nanoseconds atomic.Int64 }

func withRetryAfter(ctx context.Context) (context.Context, *retryAfter) {
	r := &retryAfter{}
	return context.WithValue(ctx, retryAfterKey{}, r), r
}

// secondaryWait is how long to wait after a secondary rate limit without a Retry-After: "at least one minute"
// (docs.github.com, rate limits for the REST API).
const secondaryWait = time.Minute

// rateLimitText matches the body of a 403 that is about the number of requests and not about rights.
var rateLimitText = regexp.MustCompile(`(?i)rate limit|too ?many ?requests`)

// asError returns the error of a request that failed with err. If the registry asks to wait, it is a *RateLimited, whatever the
// status: ghcr.io answers 403 when it wants fewer requests.
func (r *retryAfter) asError(doing string, err error) error {
	after := time.Duration(r.nanoseconds.Load())
	code := status(err)
	if after == 0 && code == http.StatusForbidden && rateLimitText.MatchString(err.Error()) {
		after = secondaryWait
	}
	if after > 0 && code != 0 {
		err = fmt.Errorf("%s: %d %s, retry after %s: %w", doing, code, http.StatusText(code), after, err)
		return &RateLimited{after: after, Err: err}
	}
	return statusError(doing, err)
}

// parseRetryAfter parses the header: seconds or a date (RFC 9110, section 10.2.3), or a duration with a unit, which ghcr.io
// sends. It returns 0 for anything else.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds >= 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second))
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	if d, err := time.ParseDuration(header); err == nil {
		return max(0, d)
	}
	return 0
}
