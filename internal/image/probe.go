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
	"github.com/OpenHands/eval-images/internal/registry"
)

// pushProbe is the question whether eval-bases may be pushed, which is asked once.
type pushProbe struct {
	asked   sync.Once
	problem error
}

// mayPushEvalBases makes sure, before the first eval-base, base stage or base image is made, that the registry accepts it. Where
// these go to the repository of the images, or to one that the user has not named, the preflight has asked. A refusal ends the run
// after it has made what can be made.
func (m *Maker) mayPushEvalBases(ctx context.Context) error {
	if m.EvalBaseRepository == m.Repository || m.EvalBasePushAllowed {
		return nil
	}
	m.evalBasePush.asked.Do(func() {
		m.evalBasePush.problem = ProbePush(ctx, m.registry, m.EvalBaseRepository, "eval-base-image", m.MaxRetries, m.report)
	})
	err := m.evalBasePush.problem
	if err == nil || ctx.Err() != nil {
		return err
	}
	class := failure.ClassOf(err)
	if _, denied := errors.AsType[*registry.Denied](err); denied {
		class = failure.ClassAuth
	}
	return &failure.Error{Class: class, NotTried: true, Err: fmt.Errorf("not tried: %w", err)}
}

// NewRetries returns the retry rule for requests that belong to no image.
func NewRetries(maxRetries int, report Informer) Retries {
	return Retries{Max: maxRetries, Waiter: probeWaiter{report}}
}

// Informer takes lines for the log. A Reporter does.
type Informer interface{ Info(message string) }

// ProbePush makes sure that the registry accepts pushes to a repository, which the user named in an input. It asks again as
// for an image. The error is a *registry.Denied, or a *failure.Error.
func ProbePush(ctx context.Context, r *registry.Client, repository, input string, maxRetries int, report Informer) error {
	retries := NewRetries(maxRetries, report)
	err := retries.Do(ctx, &outcome.Outcome{}, func() error {
		err := r.ProbePush(ctx, repository)
		var denied *registry.Denied
		switch {
		case err == nil:
			return nil
		case errors.As(err, &denied) && registry.Answered(err):
			return &failure.Error{Class: failure.ClassAuth, Err: err}
		}
		return registryFailure(ctx, "asking whether the registry accepts pushes", err)
	})
	var denied *registry.Denied
	switch {
	case err == nil:
		report.Info("the registry accepts pushes to " + repository)
	case errors.As(err, &denied):
		denied.Input = input
		return denied
	}
	return err
}

// probeWaiter reports that a probe is made again.
type probeWaiter struct{ report Informer }

func (w probeWaiter) Waiting(_ plan.Target, _ int, err error, wait time.Duration) {
	w.report.Info(fmt.Sprintf("%v; it is asked again in %s", err, wait.Round(time.Second)))
}
