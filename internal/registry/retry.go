package registry

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/OpenHands/eval-images/internal/failure"
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

// maxLookUpWait is how long a look-up waits because its registry asks for it. Many images are looked up before one is made, in a
// few slots; their own retries wait longer without a slot.
const maxLookUpWait = 30 * time.Second

// backoff counts the retries of one request and waits before each.
type backoff struct {
	client              *Client
	first, most         time.Duration // the first wait, and all waits because a registry asks for it
	rateLimited, failed int           // retries by reason
	renewed             bool          // the credentials
	waited              time.Duration // because the registry asked for it
}

func (c *Client) newBackoff() *backoff {
	return &backoff{client: c, first: c.firstBackoff, most: maxWait}
}

// next reports whether a request that failed with err should be retried. If so, it waits before it returns. It is the only rule
// for that: every kind of request passes it, and so does the handshake that a request needs.
func (b *backoff) next(ctx context.Context, err error, noRetry bool) bool {
	again := b.wait(ctx, err, noRetry)
	if again {
		b.client.countAgain(err)
	}
	return again
}

func (b *backoff) wait(ctx context.Context, err error, noRetry bool) bool {
	limited, isLimited := errors.AsType[*RateLimited](err)
	_, isStale := errors.AsType[*staleCredentials](err)
	switch {
	case isLimited:
		// ghcr.io sometimes asks for microseconds, and then rejects the request again.
		wait := max(limited.after, b.first/4<<min(b.rateLimited, 9)) // grows to about a minute
		b.rateLimited++
		b.waited = max(b.waited, limited.waited)
		if b.waited+wait > b.most {
			return false
		}
		b.waited += wait
		return sleep(ctx, wait) == nil
	case isStale && !noRetry:
		first := !b.renewed
		b.renewed = true
		return first && sleep(ctx, b.first) == nil
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
	case http.StatusNotFound:
		return !isMissing(err) // a handshake's
	default:
		return code >= http.StatusInternalServerError && code != http.StatusNotImplemented &&
			!hasCode(err, transport.ManifestBlobUnknownErrorCode)
	}
}

// countAgain counts a request that is sent again because the registry asks for fewer requests, fails, is not reached, or refuses
// credentials that it accepted before.
func (c *Client) countAgain(err error) {
	class := failure.ClassRegistry
	_, limited := errors.AsType[*RateLimited](err)
	_, isStale := errors.AsType[*staleCredentials](err)
	switch code := status(err); {
	case isStale:
		class = failure.ClassAuth
	case limited, code == http.StatusTooManyRequests:
		class = failure.ClassRateLimit
	case code == 0 && !errors.Is(err, errLostUpload):
		class = failure.ClassNetwork
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.askedAgain[string(class)]++
}

// AskedAgain returns how many requests were sent again after a failure, by class of failure. These retries are no attempts at an
// image.
func (c *Client) AskedAgain() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.askedAgain)
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
