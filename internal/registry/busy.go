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

// Busy is a refusal by which a registry asks to wait.
type Busy struct {
	after  time.Duration
	waited time.Duration
	Err    error
}

func (e *Busy) Error() string { return e.Err.Error() }

// Unwrap gives the refusal.
func (e *Busy) Unwrap() error { return e.Err }

// RetryAfter is how long the registry asks to wait.
func (e *Busy) RetryAfter() time.Duration { return e.after }

// Waited is how long the request has waited already because the registry asked for it.
func (e *Busy) Waited() time.Duration { return e.waited }

// listening notes the Retry-After of the answers to a request, which the library's errors do not keep, where the
// request's context has a place for it.
type listening struct{ next http.RoundTripper }

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if place, ok := r.Context().Value(placeKey{}).(*place); ok && err == nil && answer.StatusCode >= http.StatusBadRequest {
		place.after.Store(int64(retryAfter(answer.Header.Get("Retry-After"), time.Now())))
	}
	return answer, err
}

type placeKey struct{}

// place is where an answer's Retry-After is kept.
type place struct{ after atomic.Int64 }

func listen(ctx context.Context) (context.Context, *place) {
	p := &place{}
	return context.WithValue(ctx, placeKey{}, p), p
}

// secondaryWait is how long to wait after a secondary rate limit without a Retry-After: "at least one minute"
// (docs.github.com, rate limits for the REST API).
const secondaryWait = time.Minute

// limitsRate is what a 403 says that is about the number of requests and not about rights.
var limitsRate = regexp.MustCompile(`(?i)rate limit|too ?many ?requests`)

// refusal is err as the registry means it: what asks to wait is not final, whatever its status. (ghcr.io answers with 403
// when it wants fewer requests.)
func (p *place) refusal(doing string, err error) error {
	after := time.Duration(p.after.Load())
	code := status(err)
	if after == 0 && code == http.StatusForbidden && limitsRate.MatchString(err.Error()) {
		after = secondaryWait
	}
	if after > 0 && code != 0 {
		return &Busy{after: after, Err: fmt.Errorf("%s: %d %s, asked to wait %s: %w", doing, code, http.StatusText(code), after, err)}
	}
	return explain(doing, err)
}

// retryAfter reads the header: seconds or a date (RFC 9110, section 10.2.3), or a duration with its unit, which is how
// ghcr.io answers.
func retryAfter(header string, now time.Time) time.Duration {
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
