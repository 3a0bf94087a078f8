package failure

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Error is a failed attempt at an image: its class, and what the failed command left.
type Error struct {
	Class Class
	// ReturnCode is the failed command's, or 0 where no command failed.
	ReturnCode int
	// Tail holds the last lines of output.
	Tail string
	// Shared names what failed where every image of the run needs it: `stage "builder"`. Empty where the failure is this
	// image's own, or where that cannot be told.
	Shared string
	// NotTried says that nothing was begun, and that another attempt cannot help.
	NotTried bool
	// RetryAfter is how long a registry asks to wait, or 0. Waited is how long the request has waited for that already.
	RetryAfter, Waited time.Duration
	Err                error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what helps against it.
func (e *Error) Hint() string { return Hint(e.Class) }

// ClassOf names the class of err: of the first Error in its chain, or what its context says.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.Canceled):
		return ClassCancelled
	case errors.Is(err, context.DeadlineExceeded):
		return ClassTimeout
	default:
		return ClassUnknown
	}
}

// OfRegistry is the failure of a request to a registry that got no clear answer, or of a write that it did not take. An
// error that asks to wait has methods RetryAfter and Waited.
func OfRegistry(doing string, err error) error {
	failed := &Error{Class: Classify(err.Error(), ClassRegistry), Err: fmt.Errorf("%s: %w", doing, err)}
	var asks interface {
		RetryAfter() time.Duration
		Waited() time.Duration
	}
	if errors.As(err, &asks) {
		failed.RetryAfter, failed.Waited = asks.RetryAfter(), asks.Waited()
		if failed.Class == ClassAuth { // "forbidden, for now"
			failed.Class = ClassRateLimit
		}
	}
	return failed
}

// NotStarted is the failure of what was not begun because ctx has ended.
func NotStarted(ctx context.Context) error {
	return &Error{Class: ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
}

// Cancelled is the failure of what would have been tried again after the error last, had ctx not ended. It is the cancel's,
// because nothing is known to be wrong with the image; the reason of its last failure stays in sight.
func Cancelled(ctx context.Context, last error) error {
	e := Error{Class: ClassCancelled}
	var failure *Error
	if errors.As(last, &failure) {
		e.ReturnCode, e.Tail = failure.ReturnCode, failure.Tail
	}
	e.Err = fmt.Errorf("%w after an attempt that failed (%s): %w", context.Cause(ctx), ClassOf(last), last)
	return &e
}

// ForOthers is the failure of one image as it is the other images', who share what failed. A failure of that image's own
// stays what it is.
func ForOthers(instance string, err error) error {
	var failure *Error
	if !errors.As(err, &failure) || failure.Shared == "" || failure.NotTried {
		return err
	}
	return &Error{Class: ClassShared, Shared: failure.Shared, NotTried: true, Err: fmt.Errorf(
		"not tried: %s failed in %s, which all images share (%s)", instance, failure.Shared, failure.Class)}
}

// ConcernsAll tells a failure that every image of the run would meet.
func ConcernsAll(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && (failure.Shared != "" || failure.NotTried)
}

// NotTried tells whether err says that nothing was begun, and that another attempt cannot help.
func NotTried(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.NotTried
}
