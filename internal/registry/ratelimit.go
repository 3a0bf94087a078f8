package registry

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
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

// secondaryWait is how long to wait after a secondary rate limit without a Retry-After: "at least one minute"
// (docs.github.com, rate limits for the REST API).
const secondaryWait = time.Minute

// rateLimitText matches the body of a 403 that is about the number of requests and not about rights.
var rateLimitText = regexp.MustCompile(`(?i)rate limit|too ?many ?requests`)

// retryAfterText matches the wait that ghcr.io names in the body of a 429: "retry-after: 352.829µs, allowed: 44000/minute".
var retryAfterText = regexp.MustCompile(`(?i)retry-after: *([0-9.]+[a-zµ]*)`)

// asRateLimited returns the error of a request as a *RateLimited if the registry asks to wait, and nil otherwise. The status does
// not matter: ghcr.io answers 403 when it wants fewer requests. after is the response's Retry-After, or 0.
func asRateLimited(doing string, err error, after time.Duration) error {
	code, text := status(err), ""
	if code != 0 && after == 0 {
		text = err.Error()
	}
	if found := retryAfterText.FindStringSubmatch(text); found != nil && code == http.StatusTooManyRequests {
		after = parseRetryAfter(found[1], time.Now())
	}
	if code == http.StatusForbidden && rateLimitText.MatchString(text) {
		after = secondaryWait
	}
	if code == 0 || after == 0 {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, refusal{fmt.Sprintf("%d %s, retry after %s", code, http.StatusText(code), after), err})
	return &RateLimited{after: after, Err: err}
}

// mostRetryAfter is the longest Retry-After. No request waits that long (maxWait), and sums of it do not overflow.
const mostRetryAfter = 24 * time.Hour

// parseRetryAfter parses the header: seconds or a date (RFC 9110, section 10.2.3), or a duration with a unit, which ghcr.io
// sends. It returns 0 for anything else, and at most mostRetryAfter.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, mostRetryAfter.Seconds()) * float64(time.Second))
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(0, date.Sub(now)), mostRetryAfter)
	}
	if d, err := time.ParseDuration(header); err == nil {
		return min(max(0, d), mostRetryAfter)
	}
	return 0
}
