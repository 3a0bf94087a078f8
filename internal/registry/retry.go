package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxRetries is how often a request is retried after a transient failure.
const maxRetries = 2

// firstBackoff is the wait before the first retry; it doubles for each further one. It is short, because a failed image is
// retried after a longer wait.
const firstBackoff = 500 * time.Millisecond

// maxWait is how long one request waits in total because its registry asks to wait. A limit on the number of retries would be
// wrong: a request that meets a pause has done nothing wrong. GitHub asks for "a few minutes" after a secondary rate limit
// (docs.github.com, rate limits for the REST API); a registry that accepts nothing for three times as long is unlikely to
// recover soon.
const maxWait = 15 * time.Minute

// backoff counts the retries of one request and waits before each.
type backoff struct {
	first               time.Duration
	rateLimited, failed int           // retries by reason
	waited              time.Duration // because the registry asked for it
}

func (c *Client) newBackoff() *backoff { return &backoff{first: c.firstBackoff} }

// next reports whether a request that failed with err should be retried. If so, it waits before it returns.
func (b *backoff) next(ctx context.Context, err error, noRetry bool) bool {
	limited, isLimited := errors.AsType[*RateLimited](err)
	switch {
	case isLimited:
		// ghcr.io sometimes asks for microseconds, and then rejects the request again.
		wait := max(limited.after, b.first/4<<min(b.rateLimited, 9)) // grows to about a minute
		b.rateLimited++
		b.waited = max(b.waited, limited.waited)
		if b.waited+wait > maxWait {
			return false
		}
		b.waited += wait
		return sleep(ctx, wait) == nil
	case isTransient(err) && !noRetry:
		b.failed++
		return b.failed <= maxRetries && sleep(ctx, b.first<<(b.failed-1)) == nil
	}
	return false
}

// isTransient reports whether a failure may pass without any change: the registry was unreachable, broke the connection, timed
// out, or is overloaded and does not say for how long.
func isTransient(err error) bool {
	switch code := status(err); code {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return code >= http.StatusInternalServerError && !hasCode(err, transport.ManifestBlobUnknownErrorCode)
	}
}

// sleep waits for d or until ctx ends, and then returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
