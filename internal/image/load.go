package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Load has the SDK build the targets, and loads them into an engine under their tags. No registry is asked or written to but those of
// the base images. An image that the engine has under all its tags is skipped, unless Force is set.
func (m *Maker) Load(ctx context.Context, engine *docker.Engine, targets []plan.Target) error {
	var all sync.WaitGroup
	for _, t := range targets {
		all.Go(func() {
			m.Image(ctx, t, func(ctx context.Context, t plan.Target, out *outcome.Outcome) error {
				return m.inSlot(ctx, t, out, func() error { return m.load(ctx, engine, t, out) })
			})
		})
	}
	all.Wait()
	return m.untried(ctx)
}

func (m *Maker) load(ctx context.Context, engine *docker.Engine, t plan.Target, out *outcome.Outcome) error {
	bounded, cancel := m.withTimeout(ctx)
	defer cancel()
	if !m.Force {
		there, err := engine.HasImage(bounded, t.Tags)
		if err != nil {
			return engineFailure(err)
		}
		if there {
			out.Skipped, out.Tags = true, t.Tags
			return nil
		}
	}
	b := sdkBuild{Request: m.Request}
	b.Request.Load = true
	tags, err := m.buildImage(bounded, t, t.BaseImage, b, out)
	if err != nil {
		return err
	}
	defer addTime(&out.Check, time.Now())
	there, err := engine.HasImage(bounded, tags)
	switch {
	case err != nil:
		return engineFailure(err)
	case !there:
		return &failure.Error{Class: failure.ClassUnknown, Err: errors.New("the build succeeded, but the engine does not have the image under all its tags")}
	}
	out.Tags = tags
	return nil
}

func engineFailure(err error) error {
	return &failure.Error{Class: failure.ClassEngine, Err: fmt.Errorf("asking the engine for the image: %w", err)}
}
