package build

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Limiter lets at most n builds run at once; the others wait for a slot.
type Limiter struct {
	next    Builder
	slots   *semaphore.Weighted
	started func(plan.Target)
	// Ended, if set, is told of each target that gives its slot back. It is to be set before the first build.
	Ended func(plan.Target)
}

// NewLimiter wraps next. started is told of each target that gets a slot, before its build begins; it may be nil.
func NewLimiter(next Builder, n int, started func(plan.Target)) *Limiter {
	if started == nil {
		started = func(plan.Target) {}
	}
	return &Limiter{next: next, slots: semaphore.NewWeighted(int64(n)), started: started}
}

// Sharing wraps another builder, whose builds wait for the same slots.
func (l *Limiter) Sharing(next Builder) *Limiter {
	return &Limiter{next: next, slots: l.slots, started: l.started, Ended: l.Ended}
}

// Build waits for a slot, or until ctx is done.
func (l *Limiter) Build(ctx context.Context, t plan.Target) (Result, error) {
	// Acquire takes a free slot even when ctx is done already; a cancelled run must not begin another image.
	if err := ctx.Err(); err != nil {
		return Result{}, notStarted(ctx)
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return Result{}, notStarted(ctx)
	}
	defer l.slots.Release(1)
	l.started(t)
	if l.Ended != nil {
		defer l.Ended(t)
	}
	return l.next.Build(ctx, t)
}

func notStarted(ctx context.Context) error {
	return &Error{Class: ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
}
