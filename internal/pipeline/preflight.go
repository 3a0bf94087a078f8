package pipeline

import (
	"context"
	"fmt"
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
