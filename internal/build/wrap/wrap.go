// Package wrap gives the base images of some instances the Python packages that their evaluation needs, before the SDK
// builds upon them. OpenHands/benchmarks adds them to the finished image, under the tag that it has already: when that
// fails half-way, an image without them is left, and is skipped ever after. Here nothing is done to an image that has
// its final tag.
package wrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// Registry tells digests; a *registry.Client does.
type Registry interface {
	// Digest gives the manifest digest behind a reference, or "" when the registry does not have it.
	Digest(ctx context.Context, reference string) (string, error)
	// Confirm checks that the manifest behind name:tag@digest has that digest, by a GET.
	Confirm(ctx context.Context, pinned string) error
}

// Builder wraps the base image of each target that needs it, and hands the target on with the wrapped one as its base.
type Builder struct {
	Next     build.Builder
	Registry Registry
	// Image is the repository that images are pushed to; wrapped bases get tags of their own there.
	Image string
	// Buildx makes wrapped bases.
	Buildx native.Buildx
	// Timeout bounds wrap and build of one image together; 0 is no bound.
	Timeout time.Duration
	// Force makes wrapped bases anew that the registry has already.
	Force bool
	// LogPath is the path of an instance's log, and Relative that path as the record tells it.
	LogPath, Relative func(string) string
}

// Build makes sure of the wrapped base, then of the image. A failed wrap comes back as a *build.Error.
func (b *Builder) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	if t.Wrap == "" {
		return b.Next.Build(ctx, t)
	}
	if b.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, b.Timeout, sdk.ErrTimeout)
		defer cancel()
	}
	wrapped, took, err := b.Wrapped(ctx, t)
	if err != nil {
		return build.Result{Attempts: 1, Making: took, LogPath: b.Relative(b.LogPath(t.InstanceID))}, err
	}
	result, err := b.Next.Build(ctx, wrapped)
	result.Making += took
	return result, err
}

// Wrapped gives the target with its wrapped base image, of which it makes sure, and how long that took. A target that
// needs none comes back as it is. The error is a *build.Error.
func (b *Builder) Wrapped(ctx context.Context, t plan.Target) (plan.Target, time.Duration, error) {
	if t.Wrap == "" {
		return t, 0, nil
	}
	begin := time.Now()
	wrapped, err := b.wrap(ctx, t)
	if err != nil {
		err = native.Classified(fmt.Errorf("wrapping the base image %s with %s: %w", t.BaseImage, t.Wrap, err), t.BaseImage)
		return t, time.Since(begin), err
	}
	t.BaseImage = wrapped
	return t, time.Since(begin), nil
}

// wrap gives the reference of the target's wrapped base, which it makes when the registry does not have it.
func (b *Builder) wrap(ctx context.Context, t plan.Target) (string, error) {
	found, err := b.look(ctx, t)
	if err != nil {
		return "", err
	}
	if found.silence != nil {
		// The builder may reach a registry that this process does not. It is then asked each time: under a name alone
		// the base may have become another one since.
		b.note(t, fmt.Sprintf("the digest of %s is not known: %v", t.BaseImage, found.silence))
	}
	base, reference := found.base, found.reference
	if found.there {
		b.note(t, fmt.Sprintf("the base image is there with %s: %s", t.Wrap, reference))
		return reference, nil
	}
	if base != t.BaseImage { // its digest is known
		if err := b.Registry.Confirm(ctx, base); ctx.Err() != nil {
			return "", native.Ended(ctx)
		} else if err != nil {
			return "", build.Unanswered("checking its digest", err)
		}
	}
	args := []string{"--push", "--platform", platform, "--tag", reference}
	err = b.Buildx.Build(ctx, b.LogPath(t.InstanceID), args, dockerfile(base, t.Wrap))
	var failed *sdk.BuildFailure
	if errors.As(err, &failed) {
		err = native.CommandFailed(failed, err, base, nil)
	}
	return reference, err
}

// note adds a line to the image's log.
func (b *Builder) note(t plan.Target, text string) { native.Note(b.LogPath(t.InstanceID), text) }
