package pipeline

import (
	"context"
	"errors"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// chain makes builders that share slots, further attempts and the run's builder.
type chain struct {
	run     *run
	pool    native.Workers
	limiter *build.Limiter
	own     []string
}

func (r *run) newChain(pool native.Workers) chain {
	limiter := build.NewLimiter(nil, r.config.MaxWorkers, r.console.Started)
	limiter.Ended = r.console.Stopped
	return chain{r, pool, limiter, r.ownStages()}
}

// retry gives a builder its further attempts.
func (c chain) retry(next build.Builder) build.Builder {
	retrier := build.NewRetrier(next, c.run.config.MaxRetries)
	retrier.Waiting = c.run.console.Waiting
	retrier.Before = func(ctx context.Context, class build.Class) {
		if class == build.ClassDisk {
			_ = c.run.watched().Prune(ctx) // it warns itself; whether there is room now, the next attempt tells
		}
	}
	return retrier
}

// slotted lets next run in a slot, when the run's builder is there.
func (c chain) slotted(next build.Builder) build.Builder {
	return c.limiter.Sharing(build.Func(func(ctx context.Context, t plan.Target) (build.Result, error) {
		if err := c.run.needBuilder(ctx); err != nil {
			return build.Result{}, err
		}
		return next.Build(ctx, t)
	}))
}

// native is the SDK's build of a request, in its bare form.
func (c chain) native(request sdk.Request, what string, shared native.Shared) *native.Builder {
	return &native.Builder{
		Workers: c.pool, Request: request, Workspace: c.run.workspace, Logs: c.run.logs, OwnStages: c.own, What: what, Shared: shared,
	}
}

// whole is a complete native image: wrapped, built, confirmed, and skipped where it is there.
func (c chain) whole(shared native.Shared) build.Builder {
	return c.skipping(build.NewConfirmer(c.run.wrapping(c.native(c.run.request(), "", shared)), c.run.registry))
}

// skipping asks the registry for each image before next makes it, unless that is forced: of some it may not have been
// known whether they are there, and others may have been pushed meanwhile.
func (c chain) skipping(next build.Builder) build.Builder {
	if c.run.config.ForceBuild {
		return next
	}
	return build.NewSkipper(next, c.run.registry)
}

// baseOf makes the base stage of the run's commit for a target, under a custom tag of another kind. It is in the builder's
// cache when the whole image was just built.
func (c chain) baseOf(tag func(plan.Target) string) build.Builder {
	return c.retry(c.slotted(c.baseStage(tag)))
}

func (c chain) baseStage(tag func(plan.Target) string) build.Builder {
	b := c.native(c.run.baseRequest("", c.run.config.Image), "its base stage, ", nil)
	b.Suffix = baseStageLog
	return tagged(c.run.wrapping(b), tag)
}

// wrapped gives a target its wrapped base image, in a slot and with further attempts where it needs one, and what that
// took. A builder is needed only where that base image is not there yet.
func (c chain) wrapped(ctx context.Context, t plan.Target) (wrapped plan.Target, result build.Result, err error) {
	if t.Wrap == "" {
		return t, result, nil
	}
	result, err = c.retry(c.limiter.Sharing(build.Func(func(ctx context.Context, t plan.Target) (result build.Result, err error) {
		wrapped, result.Making, err = c.run.wrapper(nil).Wrapped(ctx, t)
		if failure := (*build.Error)(nil); !errors.As(err, &failure) || !failure.NotTried {
			result.Attempts, result.LogPath = 1, c.run.relative(c.run.logOfInstance(t.InstanceID))
		}
		return result, err
	}))).Build(ctx, t)
	return wrapped, result, err
}

// tagged gives the targets custom tags of another kind.
func tagged(next build.Builder, tag func(plan.Target) string) build.Builder {
	return build.Func(func(ctx context.Context, t plan.Target) (build.Result, error) {
		t.CustomTag = tag(t)
		return next.Build(ctx, t)
	})
}
