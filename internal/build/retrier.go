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
	// further is how many attempts may follow the first one.
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
	for {
		result, err := r.next.Build(ctx, t)
		if ctx.Err() != nil && ClassOf(err) == ClassCancelled && len(sum.Tries) > 0 {
			err = cutOff(ctx, sum.Tries[len(sum.Tries)-1].Err)
		}
		sum = sum.plus(result, err, begun)
		begun = begun || result.Attempts > 0
		class := ClassOf(err)
		failed[class]++
		if err == nil || ctx.Err() != nil || len(sum.Tries) > r.further || failed[class] > Further(class, r.further) {
			return sum, err
		}
		wait, worth := backOff(class, failed[class], err)
		if !worth || notTried(err) {
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

// longestRetryAfter is how long a registry may ask to wait; beyond it the run's other images are better served by an end.
const longestRetryAfter = 15 * time.Minute

// backOff is the wait before another attempt: doubled with each failure, with a random part so that images that failed
// together do not come back together, and never less than what the registry asks for. A wait that would be too long is
// not worth it.
func backOff(class Class, failures int, err error) (wait time.Duration, worth bool) {
	wait = min(policies[class].first<<min(failures-1, 16), longest)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1))
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = max(wait, e.RetryAfter+time.Duration(rand.Int64N(int64(e.RetryAfter)/4+1)))
		return wait, e.RetryAfter <= longestRetryAfter
	}
	return wait, true
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
