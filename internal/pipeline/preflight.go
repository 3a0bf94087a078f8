package pipeline

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
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
		if err := r.registry.ProbePush(ctx, r.config.Image); err != nil {
			return err
		}
		r.actions.Info("the registry takes pushes to " + r.config.Image)
		return nil
	})
}

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
