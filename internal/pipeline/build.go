package pipeline

import (
	"context"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// build makes what is missing. From the inside out: the SDK's build, before it the wrap of a base image that needs one, a
// look whether the push arrived, a look whether it is needed, a slot, further attempts, a guard against what fails for
// all, and a record of however it ended.
func (r *run) build(ctx context.Context, pool *sdk.Pool, missing []plan.Target) {
	vanguard := build.NewVanguard()
	var b build.Builder = &native.Builder{
		Workers: pool, Request: r.request(), Workspace: r.workspace, Logs: r.logs, OwnStages: r.ownStages(), Shared: vanguard,
	}
	b = build.NewConfirmer(r.wrapping(b), r.registry)
	if !r.config.ForceBuild {
		b = build.NewSkipper(b, r.registry)
	}
	b = vanguard.Inside(b)
	b = build.NewLimiter(b, r.config.MaxWorkers, r.console.Started)
	retrier := build.NewRetrier(b, r.config.MaxRetries)
	retrier.Waiting = r.console.Waiting
	retrier.Before = func(ctx context.Context, c build.Class) {
		if c == build.ClassDisk {
			_ = r.disk.Prune(ctx) // it warns itself; whether there is room now, the next attempt tells
		}
	}
	r.disk.expect(len(missing))
	b = build.NewRecorder(vanguard.Wrap(retrier), func(outcome build.Outcome) {
		r.record(outcome)
		r.disk.finished(ctx)
	})
	r.phase("build", func() error {
		vanguard.Ahead(ctx, b, missing)
		return nil
	})
	r.disk.wait()
}

// ownStages are the stages that fail for one image alone. Without the Dockerfile none is known, and each image meets the
// failure of a shared stage by itself.
func (r *run) ownStages() []string {
	dockerfile, err := r.checkout.Dockerfile()
	if err != nil {
		r.warn("A failure of a stage that all images share cannot be told from another: " + err.Error())
	}
	return native.OwnStages(dockerfile)
}

// askedAgain parts the targets of which the registry did not say whether they exist, but may when it is asked again, from
// the outcomes that are final. The question comes again with each attempt at a build.
func askedAgain(done []build.Outcome, maxRetries int) (again []plan.Target, final []build.Outcome) {
	for _, outcome := range done {
		if maxRetries > 0 && build.Retryable(outcome.Err) {
			again = append(again, outcome.Target)
		} else {
			final = append(final, outcome)
		}
	}
	return again, final
}
