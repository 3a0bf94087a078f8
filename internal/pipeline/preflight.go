package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// preflight makes sure, before the first image, that the registry will take it, and the builder, where one is needed for
// certain: where references and eval-bases are there, images are made without one.
func (r *run) preflight(ctx context.Context) error {
	defer r.group("Check builder and registry")()
	return r.phase("preflight", func() error {
		if !r.rebases() || r.config.VerifyGiven && r.config.Verify > 0 {
			if err := r.reachBuilder(ctx); err != nil {
				return err
			}
		}
		return r.probePush(ctx, "image", r.config.Image)
	})
}

// probePush makes sure that the registry takes pushes to the repository in input. It is asked again like for an image.
func (r *run) probePush(ctx context.Context, input, repository string) error {
	probe := build.NewRetrier(build.Func(func(ctx context.Context, _ plan.Target) (build.Result, error) {
		err := r.registry.ProbePush(ctx, repository)
		var refused *registry.Refused
		switch {
		case err == nil:
			return build.Result{}, nil
		case errors.As(err, &refused) && registry.Answered(err):
			return build.Result{}, &build.Error{Class: build.ClassAuth, Err: err}
		}
		return build.Result{}, build.Unanswered("asking whether the registry takes pushes", err)
	}), r.config.MaxRetries)
	probe.Waiting = func(_ plan.Target, _ int, err error, wait time.Duration) {
		r.actions.Info(fmt.Sprintf("%v; it is asked again in %s", err, wait.Round(time.Second)))
	}
	_, err := probe.Build(ctx, plan.Target{})
	var refused *registry.Refused
	switch {
	case err == nil:
		r.actions.Info("the registry takes pushes to " + repository)
	case errors.As(err, &refused):
		refused.Input = input
		return refused
	}
	return err
}

// needEvalBases makes sure, before the first eval-base is made, that the registry will take it. Where eval-bases go to the
// repository of the images, the preflight has asked. A refusal ends the run, when what can be made has been made.
func (r *run) needEvalBases(ctx context.Context) error {
	if r.config.EvalBaseImage == r.config.Image {
		return nil
	}
	r.evalBases.once.Do(func() {
		r.evalBases.problem = r.probePush(ctx, "eval-base-image", r.config.EvalBaseImage)
	})
	err := r.evalBases.problem
	if err == nil || ctx.Err() != nil {
		return err
	}
	class := build.ClassOf(err)
	if _, refused := errors.AsType[*registry.Refused](err); refused {
		class = build.ClassAuth
	}
	return &build.Error{Class: class, NotTried: true, Err: fmt.Errorf("not tried: %w", err)}
}

// problems are why images were not tried, for want of something that the whole run needs, or nil.
func (r *run) problems() error { return errors.Join(r.builderProblem(), r.evalBases.problem) }

// rebases tells whether images of this run may be rebased. A run of one target builds it natively: there is nothing to
// learn from.
func (r *run) rebases() bool {
	return r.config.Strategy != config.StrategyNative && len(r.targets) > 1
}

// reachBuilder reaches, adopts or makes the run's builder, the first time that it is called.
func (r *run) reachBuilder(ctx context.Context) error {
	r.builder.once.Do(func() {
		builder, err := r.useBuilder(ctx)
		if err == nil {
			r.actions.Info(fmt.Sprintf("builder %s (%s, BuildKit %s)", builder.Name, builder.Driver, builder.BuildKit))
		}
		r.builder.problem = err
	})
	return r.builder.problem
}

// needBuilder is reachBuilder for an image that cannot be made without one. That there is none ends the run with it, when
// what can be made has been made.
func (r *run) needBuilder(ctx context.Context) error {
	err := r.reachBuilder(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	r.builder.missed.Store(true)
	return &build.Error{Class: build.ClassEngine, NotTried: true, Err: fmt.Errorf("not tried: %w", err)}
}

// builderProblem is why an image was not tried for want of a builder, or nil.
func (r *run) builderProblem() error {
	if r.builder.missed.Load() {
		return r.builder.problem
	}
	return nil
}
