package failure

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestClassOfLooksThroughWrappedErrors(t *testing.T) {
	cases := []struct {
		err  error
		want Class
	}{
		{nil, ""},
		{&Error{Class: ClassBuild, Err: errors.New("x")}, ClassBuild},
		{fmt.Errorf("building: %w", &Error{Class: ClassTimeout, Err: context.DeadlineExceeded}), ClassTimeout},
		{fmt.Errorf("building: %w", context.Canceled), ClassCancelled},
		{fmt.Errorf("building: %w", &Error{Class: ClassCancelled, Err: fmt.Errorf("%w: %w", context.Canceled, ErrDeadline)}), ClassDeadline},
		{errors.New("x"), ClassUnknown},
	}
	for _, c := range cases {
		if got := ClassOf(c.err); got != c.want {
			t.Errorf("ClassOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

// A class of another version of this program has a hint, too.
func TestEveryClassHasAHint(t *testing.T) {
	for _, class := range []Class{
		ClassBaseMissing, ClassAuth, ClassTLS, ClassImmutable, ClassQuota, ClassRateLimit, ClassRegistry, ClassNetwork, ClassEngine, ClassDisk, ClassTimeout, ClassStalled, ClassPlatform,
		ClassBuild, ClassShared, ClassWorkerDied, ClassSDK, ClassRefused, ClassCancelled, ClassDeadline, ClassNotStarted, ClassUnknown, "of tomorrow",
	} {
		if Hint(class) == "" {
			t.Errorf("%s has no hint", class)
		}
	}
}
