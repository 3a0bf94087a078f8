// Package pipeline is the program: the phases of a run in their order, and the one place that knows all the others.
package pipeline

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// The program's exit codes.
const (
	ExitOK        = 0   // every image is there: built or skipped
	ExitFailed    = 1   // some images failed, or the record of the run is incomplete
	ExitBadInput  = 2   // an input is wrong; nothing was built
	ExitSetup     = 3   // the SDK, the engine, the builder or the registry could not be used
	ExitCancelled = 130 // SIGINT, SIGTERM or SIGHUP
)

// Process is what the program gets from the operating system.
type Process struct {
	Args    []string // without the program's name
	Environ []string
	Stdout  io.Writer
	Stderr  io.Writer // gets the log where stdout is for a document
	Dir     string    // the working directory; paths are relative to it outside of a runner
}

// reportWithin is how long after a cancel the report waits for builds to end. A runner kills 10 s after its first signal
// (actions/runner, ProcessInvoker.cs), and the files have to be complete well before.
const reportWithin = 5 * time.Second

// Run is one whole run; its result is the program's exit code. The end of ctx cancels: running builds are ended, and
// ledger, summary and outputs are written all the same.
func Run(ctx context.Context, p Process) int {
	if len(p.Args) > 0 && p.Args[0] == mergeCommand {
		return merge(p)
	}
	r, err := begin(ctx, p)
	defer r.clean(ctx)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		return r.finish(ctx, err)
	case r.config.DryRun:
		return r.dryRun(ctx)
	}
	return r.finish(ctx, r.phases(ctx))
}

// phases runs the phases, and stops waiting for them some time after a cancel.
func (r *run) phases(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- r.everything(ctx) }()
	go r.console.Run(ctx)
	defer r.console.Close()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	r.actions.Info("cancelled: no further image is begun, and what runs is ended")
	select {
	case err := <-ended:
		return err
	case <-time.After(reportWithin):
		return fmt.Errorf("reporting %s after the cancel without what had not ended by then: %w", reportWithin, context.Cause(ctx))
	}
}

// everything is the program, top to bottom.
func (r *run) everything(ctx context.Context) error {
	if len(r.targets) == 0 { // as in the last of more shards than there are images
		return nil
	}
	pool, err := r.setUpSDK(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := r.nameTargets(ctx, pool); err != nil {
		return err
	}
	if len(r.config.VerifyImages) > 0 {
		return r.verifyImages(ctx, pool)
	}
	missing, err := r.findMissing(ctx)
	if err != nil || len(missing) == 0 || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err := r.preflight(ctx); err != nil {
		return err
	}
	if r.rebases() {
		r.rebase(ctx, pool, missing)
	} else {
		r.build(ctx, pool, missing, "")
	}
	return errors.Join(ctx.Err(), r.builderProblem())
}

// findMissing records the targets that the registry has already, or does not tell of, and gives the others. A registry
// that refuses to be asked will refuse every image.
func (r *run) findMissing(ctx context.Context) (missing []plan.Target, err error) {
	if r.config.ForceBuild {
		return r.targets, nil
	}
	err = r.phase("present?", func() error {
		var done []build.Outcome
		done, missing = build.Present(ctx, r.registry, r.targets)
		if refused := refusedAll(done, len(missing), r.config.Image); refused != nil && ctx.Err() == nil {
			return refused
		}
		again, final := askedAgain(done, r.config.MaxRetries)
		missing = append(missing, again...)
		for _, outcome := range final {
			r.record(outcome)
		}
		return nil
	})
	if err == nil {
		r.actions.Info(fmt.Sprintf("%d of %d images have to be built", len(missing), len(r.targets)))
	}
	return missing, err
}

// refusedAll finds the answer, or the silence, that no image of the run will get past.
func refusedAll(done []build.Outcome, missing int, image string) error {
	var silence error
	answered := missing > 0
	for _, outcome := range done {
		var refused *registry.Refused
		if errors.As(outcome.Err, &refused) {
			return refused
		}
		if outcome.Err == nil || registry.Answered(outcome.Err) {
			answered = true
		} else {
			silence = outcome.Err
		}
	}
	if answered || silence == nil {
		return nil
	}
	return &registry.Refused{Doing: "reaching the registry of " + image, Err: silence}
}

// refusal is a bad input: nothing was built.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func exitCode(cancelled bool, err error, failed int) int {
	var bad refusal
	switch {
	case errors.As(err, &bad):
		return ExitBadInput
	case cancelled:
		return ExitCancelled
	case err != nil:
		return ExitSetup
	case failed > 0:
		return ExitFailed
	default:
		return ExitOK
	}
}
