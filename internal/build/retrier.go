package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Retrier tries a target again where the class of its failure says that this can help. It belongs outside of the
// Limiter, so that a wait holds no slot, and outside of the Skipper, which asks the registry anew on each attempt: a push
// that failed after it had landed is found.
type Retrier struct {
	next Builder
	// further is how many attempts may follow the first one. Those that met a pause of a registry's do not count.
	further int
	// Before, if set, is called before another attempt; it may make room on the disk. It must be safe for concurrent use.
	Before func(ctx context.Context, c Class)
	// Waiting, if set, is told of each attempt that failed and will be made again after wait.
	Waiting func(t plan.Target, attempt int, err error, wait time.Duration)
}

// NewRetrier wraps next. further is how many attempts may follow the first one, whatever the class.
func NewRetrier(next Builder, further int) *Retrier { return &Retrier{next: next, further: further} }

// Build tries until it works, until trying again cannot help, or until ctx is done. The Result adds up all attempts.
func (r *Retrier) Build(ctx context.Context, t plan.Target) (Result, error) {
	var sum Result
	begun := false // whether a build was, and not only the registry asked
	failed := map[Class]int{}
	counted, paused := 0, time.Duration(0)
	for {
		result, err := r.next.Build(ctx, t)
		if ctx.Err() != nil && ClassOf(err) == ClassCancelled && len(sum.Tries) > 0 {
			err = cutOff(ctx, sum.Tries[len(sum.Tries)-1].Err)
		}
		sum = sum.plus(result, err, begun)
		begun = begun || result.Attempts > 0
		class := ClassOf(err)
		failed[class]++
		if err == nil || ctx.Err() != nil || notTried(err) {
			return sum, err
		}
		wait := backOff(class, failed[class], err)
		if Paused(err) {
			if paused += waited(err) + wait; paused > longestPause {
				return sum, err
			}
		} else if counted++; counted > r.further || failed[class] > Further(class, r.further) {
			return sum, err
		}
		if r.Waiting != nil {
			r.Waiting(t, len(sum.Tries), err, wait)
		}
		begin := time.Now()
		done := sleep(ctx, wait)
		if done && r.Before != nil {
			r.Before(ctx, class)
		}
		sum.Waited += time.Since(begin)
		if !done {
			return sum, cutOff(ctx, err)
		}
	}
}

// plus adds an attempt to those before it, of which begun says that one began a build.
func (r Result) plus(next Result, err error, begun bool) Result {
	sum := next
	sum.Tries = append(r.Tries[:len(r.Tries):len(r.Tries)], Try{Err: err, Took: next.Check + next.Making})
	switch {
	case next.Skipped && begun:
		// It is this run's own push, which an earlier attempt had made before it failed.
		sum.Skipped, sum.Attempts = false, len(sum.Tries)
	case next.Skipped, next.Attempts == 0 && (ClassOf(err) == ClassCancelled || notTried(err)):
		sum.Tries, sum.Attempts = r.Tries, r.Attempts
	default:
		sum.Attempts = len(sum.Tries)
	}
	sum.Check, sum.Making, sum.Waited = r.Check+next.Check, r.Making+next.Making, r.Waited+next.Waited
	sum.SdistBuilds = r.SdistBuilds + next.SdistBuilds
	// An attempt that did not come to making the image has no strategy, but may have a log.
	sum.Strategy, sum.LogPath = cmp.Or(next.Strategy, r.Strategy), cmp.Or(next.LogPath, r.LogPath)
	if next.Strategy == "" {
		sum.Telemetry, sum.Refusal = r.Telemetry, cmp.Or(next.Refusal, r.Refusal)
	}
	return sum
}

// After adds what was done for the target before, with retries of its own, to r: the times and the attempts that failed.
func (r Result) After(earlier Result) Result {
	r.Check, r.Making, r.Waited = r.Check+earlier.Check, r.Making+earlier.Making, r.Waited+earlier.Waited
	r.SdistBuilds += earlier.SdistBuilds
	r.LogPath = cmp.Or(r.LogPath, earlier.LogPath)
	var failed []Try
	for _, try := range earlier.Tries {
		if try.Err != nil {
			failed = append(failed, try)
		}
	}
	r.Tries = append(failed, r.Tries...)
	r.Attempts += len(failed)
	return r
}

func notTried(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.NotTried
}

// cutOff is the failure of a target that would have been tried again, had the run not been cancelled. It is the
// cancel's, because nothing is known to be wrong with the image; the reason of its last failure stays in sight.
func cutOff(ctx context.Context, last error) error {
	e := Error{Class: ClassCancelled}
	var failure *Error
	if errors.As(last, &failure) {
		e.ReturnCode, e.Tail = failure.ReturnCode, failure.Tail
	}
	e.Err = fmt.Errorf("%w after an attempt that failed (%s): %w", context.Cause(ctx), ClassOf(last), last)
	return &e
}

// longestPause bounds how long one image waits in all because registries ask for it. Time bounds it and not max-retries: a
// pause holds for all images, and each that meets it would use up its attempts without having been tried. Half an hour is two
// of the longest pauses that one request waits for (package registry); the run's other images are better served by an end
// then.
const longestPause = 30 * time.Minute

// Paused reports whether a registry asks to come back later, and says nothing against the image.
func Paused(err error) bool {
	var e *Error
	return errors.As(err, &e) && Retryable(err) && (e.Class == ClassRateLimit || e.RetryAfter > 0)
}

// waited is how long the failed request has waited already.
func waited(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.Waited
	}
	return 0
}

// backOff is the wait before another attempt: doubled with each failure, with a random part so that images that failed
// together do not come back together, and never less than what the registry asks for.
func backOff(class Class, failures int, err error) time.Duration {
	wait := min(policies[class].first<<min(failures-1, 16), longest)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1))
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = max(wait, e.RetryAfter+time.Duration(rand.Int64N(int64(e.RetryAfter)/4+1)))
	}
	return wait
}

// sleep waits, and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
