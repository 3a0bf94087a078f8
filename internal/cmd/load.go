package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// mostLoaded is how many images may be loaded in one run: each takes GBs of the engine's disk.
const mostLoaded = 20

// checkLoaded refuses targets that are not loaded into an engine. The error is a *config.InputError.
func checkLoaded(c config.Config, targets []plan.Target) error {
	const localhost = "push to a registry on this machine instead, such as --image localhost:5000/eval"
	switch wrapped := slices.IndexFunc(targets, func(t plan.Target) bool { return t.PipRequirements != "" }); {
	case !c.Load:
	case len(targets) > mostLoaded:
		return &config.InputError{
			Input: "load", Problem: fmt.Sprintf("%d images are too many for the local engine, which takes %d", len(targets), mostLoaded),
			Fix: "choose fewer with --instance-ids or --n-limit, or " + localhost,
		}
	case wrapped >= 0:
		return &config.InputError{
			Input:   "load",
			Problem: targets[wrapped].InstanceID + " needs a base image with Python packages, which has to be in a registry",
			Fix:     "leave it out, or " + localhost,
		}
	}
	return nil
}

// loadImages builds images natively and loads them into the engine of the docker command.
func loadImages(ctx context.Context, c config.Config, p prepared, client *registry.Client, b *builder, work *workspace, rec *record) error {
	engine, err := docker.Connect(ctx, b.env.get)
	if err != nil {
		return err
	}
	defer engine.Close()
	settings := imageSettings(ctx, c, p.setUp, p.targets, false, b.environ, work, rec)
	maker := image.New(settings, client, p.pool, b, reporter{rec, b})
	b.expect(len(p.targets))
	return rec.timed(ledger.BuildPhase, func() error { return maker.Load(ctx, engine, p.targets) })
}
