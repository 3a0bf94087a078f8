package build

import (
	"context"
	"errors"
	"time"
)

// Error is a failed build: a class, and what the SDK left of it.
type Error struct {
	Class Class
	// ReturnCode is the failed command's, or 0 where no command failed.
	ReturnCode int
	// Tail holds the last lines of output.
	Tail string
	// Shared names what failed where every image of the run needs it: `stage "builder"`. Empty where the failure is this
	// image's own, or where that cannot be told.
	Shared string
	// NotTried says that nothing was begun, and that to try again is no use.
	NotTried bool
	// RetryAfter is what a registry asks to wait, or 0; Waited is what the request has waited for that already.
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
