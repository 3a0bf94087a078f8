package pipeline

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/engine"
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

func (r *run) useBuilder(ctx context.Context) (engine.Builder, error) {
	buildx := engine.Buildx{Environ: r.buildEnviron(), Log: r.setupLog}
	if engine.IsAddress(r.config.Builder) {
		return buildx.UseAddress(ctx, r.config.Builder)
	}
	docker, err := engine.Connect(ctx, r.getenv("DOCKER_HOST"))
	if err != nil {
		return engine.Builder{}, err
	}
	defer docker.Close()
	return buildx.Adopt(ctx, docker, r.config.Builder)
}

// build makes what is missing. From the inside out: the SDK's build, before it the wrap of a base image that needs one, a
// look whether the push arrived, a look whether it is needed, a slot, and a record of however it ended.
func (r *run) build(ctx context.Context, pool *sdk.Pool, missing []plan.Target) {
	var b build.Builder = &native.Builder{Workers: pool, Request: r.request(), Workspace: r.workspace, Logs: r.logs}
	b = r.wrapping(b)
	b = build.NewConfirmer(b, r.registry)
	if !r.config.ForceBuild {
		b = build.NewSkipper(b, r.registry)
	}
	b = build.NewLimiter(b, r.config.MaxWorkers, r.console.Started)
	b = build.NewRecorder(b, r.record)
	r.phase("build", func() error {
		build.All(ctx, b, missing)
		return nil
	})
}
