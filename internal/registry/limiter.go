package registry

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// GitHub is GitHub's container registry.
const GitHub = "ghcr.io"

// WritesPerMinute and Burst are what one process may write to ghcr.io, which says "allowed: 2000/minute" when it refuses.
// Runs that share the account, such as the shards of one, share the first.
const (
	WritesPerMinute = 1900
	Burst           = 32
)

// patience bounds how long one request waits in all because its registry asks to wait. Time bounds it and not a number of
// tries: a pause is the registry's, and a request that meets it has done nothing wrong. GitHub asks for "a few minutes" after
// a secondary rate limit (docs.github.com, rate limits for the REST API); a registry that takes nothing for three times as
// long will not soon.
const patience = 15 * time.Minute

// Limit sets how many writes (POST, PUT, PATCH, DELETE) a minute, and at once, all of the run may send to the registry at
// host. 0 a minute is no limit. It is to be set before the first write.
func (c *Client) Limit(host string, perMinute float64, burst int) {
	c.limiters.of.Store(host, newLimiter(perMinute, burst))
}

// limiters are those of all registries, by host.
type limiters struct{ of sync.Map }

func (l *limiters) at(host string) *limiter {
	found, _ := l.of.LoadOrStore(host, newLimiter(0, 1))
	return found.(*limiter)
}

// limiter is a token bucket of writes, and the pauses that the registry asked for.
type limiter struct {
	bucket *rate.Limiter

	mu    sync.Mutex
	until time.Time
}

func newLimiter(perMinute float64, burst int) *limiter {
	limit := rate.Inf
	if perMinute > 0 {
		limit = rate.Limit(perMinute / time.Minute.Seconds())
	}
	return &limiter{bucket: rate.NewLimiter(limit, max(burst, 1))}
}

// take waits until one write may be sent. waited is how long the request has waited in pauses; the result has those of this
// call added. The error is a *Busy where that would be more than patience.
func (l *limiter) take(ctx context.Context, host string, waited time.Duration) (time.Duration, error) {
	waited, err := l.sitOut(ctx, host, waited)
	if err != nil {
		return waited, err
	}
	// Not bucket.Wait, which refuses at once, with an error of its own, where ctx would end before.
	taken := l.bucket.Reserve()
	if err := sleep(ctx, taken.Delay()); err != nil {
		taken.Cancel()
		return waited, err
	}
	return l.sitOut(ctx, host, waited) // a pause may have begun meanwhile
}

// sitOut waits for the end of the pause, which may be put off while it is waited for.
func (l *limiter) sitOut(ctx context.Context, host string, waited time.Duration) (time.Duration, error) {
	for {
		l.mu.Lock()
		left := time.Until(l.until)
		l.mu.Unlock()
		if left <= 0 {
			return waited, ctx.Err()
		}
		if waited+left > patience {
			return waited, &Busy{after: left, waited: waited, Err: fmt.Errorf("%d, too many requests to %s, which asked to wait: %s are left",
				http.StatusTooManyRequests, host, left.Round(time.Second))}
		}
		if err := sleep(ctx, left); err != nil {
			return waited, err
		}
		waited += left
	}
}

// allowance is how ghcr.io says in a refusal what it takes: "retry-after: 19ms, allowed: 2000/minute".
var allowance = regexp.MustCompile(`allowed: ([0-9]{1,9})/minute`)

// learn takes a registry's limit from its refusal, with the margin that ghcr.io has, where none was set: without it many
// writers at once would be refused again and again, some of them more often than they try.
func (l *limiter) learn(err error) {
	if l.bucket.Limit() != rate.Inf {
		return
	}
	for _, said := range refusals(err) {
		if found := allowance.FindStringSubmatch(said.Message); found != nil {
			perMinute, _ := strconv.Atoi(found[1]) // nine digits always fit
			l.bucket.SetLimit(rate.Limit(float64(perMinute) * WritesPerMinute / 2000 / time.Minute.Seconds()))
			l.bucket.SetBurst(Burst)
			return
		}
	}
}

// pause holds all writes back for a while, and reports whether none was held back until now. What the bucket holds, and what
// flows in meanwhile, is lost: a burst after the pause would be refused like the one before it.
func (l *limiter) pause(after time.Duration) (begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	end := now.Add(after)
	if !end.After(l.until) {
		return false
	}
	lost := end.Sub(now)
	begins = !l.until.After(now)
	if !begins {
		lost = end.Sub(l.until)
	}
	l.until = end
	if l.bucket.Limit() == rate.Inf {
		return begins
	}
	tokens := max(0, l.bucket.TokensAt(now)) + lost.Seconds()*float64(l.bucket.Limit())
	for left := int(tokens); left > 0; left -= l.bucket.Burst() {
		l.bucket.ReserveN(now, min(left, l.bucket.Burst()))
	}
	return begins
}

// sleep waits for d, or gives the error of ctx.
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
