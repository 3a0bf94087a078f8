package pipeline

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// preflight makes sure, before the first build, that builder and registry will take it.
func (r *run) preflight(ctx context.Context) error {
	defer r.group("Check builder and registry")()
	return r.phase("preflight", func() error {
		builder, err := r.useBuilder(ctx)
		if err != nil {
			return err
		}
		r.actions.Info(fmt.Sprintf("builder %s (%s, BuildKit %s)", builder.Name, builder.Driver, builder.BuildKit))
		if err := r.registry.ProbePush(ctx, r.config.Image); err != nil {
			return err
		}
		r.actions.Info("the registry takes pushes to " + r.config.Image)
		return nil
	})
}

// build makes what is missing. From the inside out: the SDK's build, a look whether its push arrived, a look whether it
// is needed, a slot, and a record of however it ended.
func (r *run) build(ctx context.Context, pool *sdk.Pool, missing []plan.Target) {
	var b build.Builder = &native.Builder{Workers: pool, Request: r.request(), Workspace: r.workspace, Logs: r.logs}
	b = build.NewConfirmer(b, r.registry)
	if !r.config.ForceBuild {
		b = build.NewSkipper(b, r.registry)
	}
	b = build.NewLimiter(b, r.config.MaxWorkers, r.console.Started)
	r.disk.expect(len(missing))
	b = build.NewRecorder(b, func(outcome build.Outcome) {
		r.record(outcome)
		r.disk.finished(ctx)
	})
	r.phase("build", func() error {
		build.All(ctx, b, missing)
		return nil
	})
	r.disk.wait()
}
