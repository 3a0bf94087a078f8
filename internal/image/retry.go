package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Retries is the one retry rule of images. The budget belongs to the image, not to a step: it is counted by the attempts in
// the image's outcome, so that a retry within a retry draws from the same budget.
type Retries struct {
	// Max is how many attempts may follow the first one, whatever their class. Those that met a pause of a registry do not
	// count.
	Max    int
	Waiter Waiter
}

// Waiter is told of each failed attempt that is followed by another one after the wait. A Reporter is.
type Waiter interface {
	Waiting(t plan.Target, attempt int, err error, wait time.Duration)
}

// longestPause bounds how long one image waits in all because registries ask for it. Time bounds it and not max-retries: a
// pause holds for all images, and each that meets it would use up its attempts without having been tried. Half an hour is two
// of the longest pauses that one request waits for (package registry); then the run's other images are better served by an
// end.
const longestPause = 30 * time.Minute

// Do makes attempts until one succeeds, until another one cannot help, or until ctx ends. It adds each attempt to out, but
// for one that began nothing. A wait between attempts must hold no slot, so attempt takes its slots itself.
func (r Retries) Do(ctx context.Context, out *outcome.Outcome, attempt func() error) error {
	err := r.untilDone(ctx, out, attempt)
	if err == nil && !out.Skipped {
		add(out, nil)
	}
	return err
}

// untilDone is Do within an attempt: it adds the attempts that failed, and leaves it to the outer Do to add the last one, which
// may still fail.
func (r Retries) untilDone(ctx context.Context, out *outcome.Outcome, attempt func() error) error {
	for {
		attempts, built := len(out.Attempts), out.Build
		err := attempt()
		begun := out.Build > built
		if n := len(out.Attempts); err != nil && n > attempts && errors.Is(err, out.Attempts[n-1].Err) {
			return err // A retry within this one has counted the failure, and has given up.
		}
		switch {
		case err == nil && out.Skipped && out.Strategy == "":
			return nil
		case err == nil:
			out.Skipped = false // What is there then is this run's own push, by an attempt that failed after it.
			return nil
		case ctx.Err() != nil, failure.ClassOf(err) == failure.ClassNotStarted:
			if n := len(out.Attempts); n > 0 && failure.ByEnd(err) {
				err = failure.NoRetry(cmp.Or(context.Cause(ctx), err), out.Attempts[n-1].Err)
			}
			if begun || !failure.ByEnd(err) {
				add(out, err)
			}
			return err
		case failure.NotTried(err):
			return err
		}
		wait, again := r.next(out, err)
		add(out, err)
		if !again {
			return err
		}
		if !r.wait(ctx, out, err, wait) {
			return failure.NoRetry(context.Cause(ctx), err)
		}
	}
}

// add adds an attempt, which took the time that no earlier attempt did.
func add(out *outcome.Outcome, err error) {
	took := out.Worked()
	for _, a := range out.Attempts {
		took -= a.Took
	}
	out.Attempts = append(out.Attempts, outcome.Attempt{Err: err, Took: took})
}

// another tells whether another attempt may follow the failure err, which is not among the attempts of out yet.
func (r Retries) another(out *outcome.Outcome, err error) bool {
	_, again := r.next(out, err)
	return again
}

// next tells whether another attempt may follow the failure err, which is not among the attempts of out yet, and after what
// wait.
func (r Retries) next(out *outcome.Outcome, err error) (wait time.Duration, again bool) {
	class := failure.ClassOf(err)
	wait = failure.Wait(err, failuresOf(out, class)+1)
	switch {
	case failure.NotTried(err):
		return wait, false
	case failure.Paused(err):
		return wait, out.Paused+failure.Waited(err)+wait <= longestPause
	}
	all, ofClass := 1, 1
	for _, a := range out.Attempts {
		if a.Err != nil && !failure.Paused(a.Err) {
			all++
			if failure.ClassOf(a.Err) == class {
				ofClass++
			}
		}
	}
	return wait, all <= r.Max && ofClass <= failure.MaxRetries(class, r.Max)
}

func failuresOf(out *outcome.Outcome, class failure.Class) (n int) {
	for _, a := range out.Attempts {
		if a.Err != nil && failure.ClassOf(a.Err) == class {
			n++
		}
	}
	return n
}

// wait waits before the next attempt. It returns false when ctx has ended.
func (r Retries) wait(ctx context.Context, out *outcome.Outcome, err error, wait time.Duration) bool {
	defer addTime(&out.Waited, time.Now())
	if failure.Paused(err) {
		out.Paused += failure.Waited(err) + wait
	}
	out.Enter(outcome.WaitingToRetry)
	r.Waiter.Waiting(out.Target, len(out.Attempts), err, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// slots let at most so many run at once; the others wait for a slot, in the order in which they came.
type slots struct {
	name string // of each, with its number: "build 2"
	free *semaphore.Weighted

	mu    sync.Mutex
	taken []bool // by number, from 0
}

func newSlots(name string, n int) *slots {
	return &slots{name: name, free: semaphore.NewWeighted(int64(n)), taken: make([]bool, n)}
}

// do runs fn in a slot, or returns a failure when ctx ends before there is one. waiting is the phase until then.
func (s *slots) do(ctx context.Context, out *outcome.Outcome, waiting string, fn func() error) error {
	return s.doIn(ctx, 1, out, waiting, fn)
}

// doIn runs fn in n slots. In all of them, nothing else runs meanwhile.
func (s *slots) doIn(ctx context.Context, n int, out *outcome.Outcome, waiting string, fn func() error) error {
	out.Enter(waiting)
	if s.free.Acquire(ctx, int64(n)) != nil {
		return failure.NotStarted(ctx)
	}
	defer s.free.Release(int64(n))
	number := s.take()
	defer s.giveBack(number, out)
	out.Slot = fmt.Sprintf("%s %d", s.name, number+1)
	return fn()
}

// take takes the first number that is free. What goes in several slots has the number of one.
func (s *slots) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := slices.Index(s.taken, false)
	s.taken[number] = true
	return number
}

func (s *slots) giveBack(number int, out *outcome.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[number], out.Slot = false, ""
}
