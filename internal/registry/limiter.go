package registry

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// GitHub is the host of GitHub's container registry.
const GitHub = "ghcr.io"

// WritesPerMinute and Burst are the writes to ghcr.io that one process may send, per minute and at once. ghcr.io names its limit
// when it rejects a request: "allowed: 2000/minute". Concurrent runs of one account, such as shards, divide WritesPerMinute.
const (
	WritesPerMinute = 1900
	Burst           = 32
)

// Limit sets how many writes (POST, PUT, PATCH, DELETE) this client may send to the registry at host, per minute and at once.
// 0 per minute means no limit.
func (c *Client) Limit(host string, perMinute float64, burst int) {
	c.limiters.Store(host, newLimiter(perMinute, burst))
}

func (c *Client) limiter(host string) *limiter {
	found, _ := c.limiters.LoadOrStore(host, newLimiter(0, 1))
	return found.(*limiter)
}

// limiter limits the writes to one registry by a token bucket, and pauses them when the registry asks for it.
type limiter struct {
	bucket *rate.Limiter

	mu          sync.Mutex
	pausedUntil time.Time
}

func newLimiter(perMinute float64, burst int) *limiter {
	limit := rate.Inf
	if perMinute > 0 {
		limit = rate.Limit(perMinute / time.Minute.Seconds())
	}
	return &limiter{bucket: rate.NewLimiter(limit, max(burst, 1))}
}

// take waits until one write may be sent. waited is how long the request has waited in pauses so far; take returns it with the
// pauses of this call added. The error is a *RateLimited if the sum would exceed maxWait.
func (l *limiter) take(ctx context.Context, host string, waited time.Duration) (time.Duration, error) {
	waited, err := l.waitPause(ctx, host, waited)
	if err != nil {
		return waited, err
	}
	// bucket.Wait would fail at once, with an error of its own, if ctx ends before the token is due.
	reservation := l.bucket.Reserve()
	if err := sleep(ctx, reservation.Delay()); err != nil {
		reservation.Cancel()
		return waited, err
	}
	return l.waitPause(ctx, host, waited) // a pause may have begun during the sleep
}

// waitPause waits until the pause is over, even if it is extended meanwhile.
func (l *limiter) waitPause(ctx context.Context, host string, waited time.Duration) (time.Duration, error) {
	for {
		l.mu.Lock()
		left := time.Until(l.pausedUntil)
		l.mu.Unlock()
		if left <= 0 {
			return waited, ctx.Err()
		}
		if waited+left > maxWait {
			err := fmt.Errorf("429, too many requests to %s: it asks to wait for another %s", host, left.Round(time.Second))
			return waited, &RateLimited{after: left, waited: waited, Err: err}
		}
		if err := sleep(ctx, left); err != nil {
			return waited, err
		}
		waited += left
	}
}

// allowedPerMinute finds the limit in an error message of ghcr.io: "retry-after: 19ms, allowed: 2000/minute".
var allowedPerMinute = regexp.MustCompile(`allowed: ([1-9][0-9]{0,8})/minute`)

// learnLimit sets the limit that the registry names in err, with the same margin as for ghcr.io, unless a limit is set already.
// Without a limit, many concurrent writers would be rejected again and again, some of them until their retries are used up.
func (l *limiter) learnLimit(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket.Limit() != rate.Inf {
		return
	}
	for _, d := range diagnostics(err) {
		if found := allowedPerMinute.FindStringSubmatch(d.Message); found != nil {
			perMinute, _ := strconv.Atoi(found[1]) // nine digits always fit
			l.bucket.SetLimit(rate.Limit(float64(perMinute) * WritesPerMinute / 2000 / time.Minute.Seconds()))
			l.bucket.SetBurst(Burst)
			return
		}
	}
}

// pause stops all writes for a while. It reports whether this begins a pause, rather than extends one. It also removes the tokens
// that the bucket has and those that it gains during the pause: the registry would reject a burst after the pause, too.
func (l *limiter) pause(duration time.Duration) (begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	end := now.Add(duration)
	if !end.After(l.pausedUntil) {
		return false
	}
	added := end.Sub(now)
	begins = !l.pausedUntil.After(now)
	if !begins {
		added = end.Sub(l.pausedUntil)
	}
	l.pausedUntil = end
	if l.bucket.Limit() == rate.Inf {
		return begins
	}
	tokens, burst := int(max(0, l.bucket.TokensAt(now))+added.Seconds()*float64(l.bucket.Limit())), l.bucket.Burst()
	l.bucket.SetBurstAt(now, max(burst, tokens)) // a reservation of more than a burst fails
	l.bucket.ReserveN(now, tokens)
	l.bucket.SetBurstAt(now, burst)
	return begins
}
