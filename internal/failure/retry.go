package failure

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Wait is the wait before the next attempt at what has failed for the given number of times with the class of err. It
// doubles with each failure, and a part of it is random, so that images that failed together do not come back together. It
// is never shorter than what a registry asks for.
func Wait(err error, failures int) time.Duration {
	wait := min(policies[ClassOf(err)].first<<min(max(failures, 1)-1, 16), longest)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1))
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = max(wait, e.RetryAfter+time.Duration(rand.Int64N(int64(e.RetryAfter)/4+1)))
	}
	return wait
}

// Paused tells whether a registry asks to come back later, and says nothing against the image.
func Paused(err error) bool {
	var e *Error
	return errors.As(err, &e) && Retryable(err) && (e.Class == ClassRateLimit || e.RetryAfter > 0)
}

// Waited is how long the failed request has waited for a registry already.
func Waited(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.Waited
	}
	return 0
}
