package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// inSlot runs fn in a slot for builds, when the run's builder is there. A build that found the disk full takes all slots the
// next time: builds that do not fit beside each other fit one at a time.
func (m *Maker) inSlot(ctx context.Context, t plan.Target, out *outcome.Outcome, fn func() error) error {
	slots, alone := 1, failuresOf(out, failure.ClassDisk) > 0
	if alone {
		slots = m.MaxWorkers
	}
	return m.builds.doIn(ctx, slots, out, outcome.WaitingToBuild, func() error {
		out.Enter(outcome.Builder)
		m.report.Started(t)
		defer m.report.Stopped(t)
		if err := m.needBuilder(ctx, out); err != nil {
			return err
		}
		if alone {
			m.makeRoom(ctx, t, out)
		}
		instance := m.builder.Instance(ctx)
		if !m.instance.CompareAndSwap(nil, instance) && m.instance.Load() != instance {
			m.restarted.Store(true)
		}
		err := fn()
		if failure.ClassOf(err) == failure.ClassDisk {
			err = retold(err, fmt.Errorf("%w; %s", err, m.builder.Space(ctx)))
		}
		if err != nil && ctx.Err() == nil && m.builder.Instance(ctx) != instance {
			return builderGone(err)
		}
		return err
	})
}

// inSlotAfterReferences is inSlot for eval-bases. One of them at a time asks for a slot, and the others wait until it has it. So
// a reference, which gets slots in the order of asking too, does not wait until the eval-bases of all images are made.
func (m *Maker) inSlotAfterReferences(ctx context.Context, t plan.Target, out *outcome.Outcome, fn func() error) error {
	out.Enter(outcome.WaitingToBuild)
	if m.bases.line.Acquire(ctx, 1) != nil {
		return failure.NotStarted(ctx)
	}
	leave := sync.OnceFunc(func() { m.bases.line.Release(1) })
	defer leave()
	return m.inSlot(ctx, t, out, func() error {
		leave()
		return fn()
	})
}

// makeRoom prunes the builder's cache for an image that goes alone: down to a part of it, and for the image's last attempt
// completely. What all images share is built again then, but without that room nothing is built.
func (m *Maker) makeRoom(ctx context.Context, t plan.Target, out *outcome.Outcome) {
	defer addTime(&out.Waited, time.Now())
	out.Enter(outcome.Prune)
	last := !m.retries.another(out, &failure.Error{Class: failure.ClassDisk})
	m.report.Info(t.InstanceID + " found the disk full: pruning the builder's cache, and building it alone")
	m.builder.Prune(ctx, last)
}

// retold is a *failure.Error with another text, whose class and all else stay.
func retold(err, text error) error {
	var failed *failure.Error
	if !errors.As(err, &failed) {
		return text
	}
	told := *failed
	told.Err = text
	return &told
}

// builderGone is the failure of a build whose BuildKit ended, or was restarted, meanwhile. What the build said is then no news of
// the image: a BuildKit that is stopped cancels steps or lets them fail, and may not be there to say anything.
func builderGone(err error) error {
	switch failure.ClassOf(err) {
	case failure.ClassEngine, failure.ClassDisk: // A full disk may be why it ended.
		return err
	}
	gone := failure.Error{Class: failure.ClassEngine, Err: fmt.Errorf("BuildKit ended during the build: %w", err)}
	var failed *failure.Error
	if errors.As(err, &failed) {
		gone.ReturnCode, gone.Tail = failed.ReturnCode, failed.Tail
	}
	return &gone
}

// needBuilder makes sure of the builder for an image that cannot be made without one. When there is none, the run ends with
// that error after it has made what can be made.
func (m *Maker) needBuilder(ctx context.Context, out *outcome.Outcome) error {
	err := m.builder.Reach(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	m.missedBuilder.Store(true)
	tried := "not tried"
	if len(out.Attempts) > 0 {
		tried = "not tried again"
	}
	return &failure.Error{Class: failure.ClassEngine, NotTried: true, Err: fmt.Errorf("%s: %w", tried, err)}
}
