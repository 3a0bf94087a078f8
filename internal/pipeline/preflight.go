package pipeline

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/engine"
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
