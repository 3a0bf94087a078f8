package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Error is a failed attempt at an image.
type Error struct {
	Class Class
	// ReturnCode is the exit code of the failed command, or 0 if no command failed.
	ReturnCode int
	// Tail is the end of the command's output.
	Tail string
	// Shared names what failed if every image of the run needs it: `stage "builder"`. It is empty if the failure affects only this
	// image, or if that is unknown.
	Shared string
	// NotTried reports that the attempt did not start, and that a retry cannot help.
	NotTried bool
	// RetryAfter is how long a registry asks to wait, or 0. Waited is how long the request has waited for that already.
	RetryAfter, Waited time.Duration
	Err                error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *Error) Hint() string { return Hint(e.Class) }

// ClassOf returns the class of err: that of the first Error in its chain, or one for a context error.
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

// Shorten returns text with at most most bytes. It leaves out the middle: errors begin with what was done, and end with the
// cause.
func Shorten(text string, most int) string {
	const cut = " [...] "
	if len(text) <= most {
		return text
	}
	end := (most - len(cut)) / 3
	begin := most - len(cut) - end
	return strings.ToValidUTF8(text[:begin], "") + cut + strings.ToValidUTF8(text[len(text)-end:], "")
}

// OfRegistry returns the failure of a request to a registry without a clear answer, or of a rejected write. If err has methods
// RetryAfter and Waited, the registry asks to wait.
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

// NotStarted returns the failure of something that did not start because ctx has ended.
func NotStarted(ctx context.Context) error {
	return &Error{Class: ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
}

// Cancelled returns the failure of an image whose retry ctx prevented. Its class is ClassCancelled, because the retry might
// have succeeded. The message includes last, the error of the last attempt.
func Cancelled(ctx context.Context, last error) error {
	e := Error{Class: ClassCancelled}
	var failure *Error
	if errors.As(last, &failure) {
		e.ReturnCode, e.Tail = failure.ReturnCode, failure.Tail
	}
	e.Err = fmt.Errorf("%w after an attempt that failed (%s): %w", context.Cause(ctx), ClassOf(last), last)
	return &e
}

// ForOthers returns the failure of the other images if an image has failed in something that all images share. Otherwise it
// returns err.
func ForOthers(instance string, err error) error {
	var failure *Error
	if !errors.As(err, &failure) || failure.Shared == "" || failure.NotTried {
		return err
	}
	return &Error{Class: ClassShared, Shared: failure.Shared, NotTried: true, Err: fmt.Errorf(
		"not tried: %s failed in %s, which all images share (%s)", instance, failure.Shared, failure.Class)}
}

// ConcernsAll reports whether every image of the run would fail in the same way.
func ConcernsAll(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && (failure.Shared != "" || failure.NotTried)
}

// NotTried reports whether the attempt did not start and a retry cannot help.
func NotTried(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.NotTried
}
