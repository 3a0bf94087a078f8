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
func (e *Error) Hint() string { return HintFor(e.Class, e.Error()+"\n"+e.Tail) }

// HintOf says what the user can do about err.
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint()
	}
	return Hint(ClassOf(err))
}

// ErrDeadline is the cause of a context that ended at the deadline of the run.
var ErrDeadline = errors.New("the run's deadline was reached")

// ClassOf returns the class of err: that of the first Error in its chain, or one for a context error. What the end
// of the run stopped has ClassDeadline when that was the deadline, and else ClassCancelled.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e) && e.Class != ClassCancelled:
		return e.Class
	case errors.Is(err, ErrDeadline):
		return ClassDeadline
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
	e := Error{Class: ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
	if errors.Is(e.Err, ErrDeadline) {
		e.Class = ClassNotStarted
	}
	return &e
}

// TooLate returns the failure of something that is not started because too little time is left before the deadline.
func TooLate(left, typical time.Duration) error {
	return &Error{Class: ClassNotStarted, NotTried: true, Err: fmt.Errorf(
		"not started: %s is left before the run's deadline, and this takes %s", left.Round(time.Second), typical.Round(time.Second))}
}

// AtDeadline gives the failure of an image that the deadline stopped its class: ClassDeadline when attempts were made, and else
// ClassNotStarted. Other errors stay as they are.
func AtDeadline(err error, attempts int) error {
	switch class := ClassOf(err); {
	case class == ClassNotStarted && attempts > 0:
		return &Error{Class: ClassDeadline, Err: fmt.Errorf("its next step was %w", err)}
	case class == ClassDeadline && attempts == 0:
		return &Error{Class: ClassNotStarted, Err: fmt.Errorf("not started: %w", err)}
	}
	return err
}

// ByEnd reports whether the end of the run caused err: a cancel, or the deadline.
func ByEnd(err error) bool {
	switch ClassOf(err) {
	case ClassCancelled, ClassDeadline, ClassNotStarted:
		return true
	}
	return false
}

// NoRetry returns the failure of an image whose retry the end of the run prevented. end is how the run ended: its class counts,
// because the retry might have succeeded. The message includes last, the error of the last attempt.
func NoRetry(end, last error) error {
	e := Error{Class: ClassCancelled}
	if class := ClassOf(end); class == ClassDeadline || class == ClassNotStarted {
		e.Class = ClassDeadline
	}
	var failure *Error
	if errors.As(last, &failure) {
		e.ReturnCode, e.Tail = failure.ReturnCode, failure.Tail
	}
	e.Err = fmt.Errorf("%w after an attempt that failed (%s): %w", end, ClassOf(last), last)
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
