package wrap

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Look gives a target with its wrapped base image, where it needs one, and whether that is there: whether Wrapped would
// have nothing to make. It makes nothing itself. The error says that a registry has not answered.
func (b *Builder) Look(ctx context.Context, t plan.Target) (wrapped plan.Target, there bool, err error) {
	if t.Wrap == "" {
		return t, true, nil
	}
	found, err := b.look(ctx, t)
	if err == nil && found.silence != nil {
		err = build.Unanswered("asking for the digest of the base image "+t.BaseImage, found.silence)
	}
	if err != nil {
		return t, false, err
	}
	t.BaseImage = found.reference
	return t, found.there, nil
}

// found is what registries say of a wrapped base.
type found struct {
	// base is what it is made of, by digest where that is known; silence says why it is not.
	base    string
	silence error
	// reference is the wrapped base, and there says that the registry has it, and that it can be used.
	reference string
	there     bool
}

func (b *Builder) look(ctx context.Context, t plan.Target) (found, error) {
	f := found{base: t.BaseImage}
	switch digest, err := b.Registry.Digest(ctx, t.BaseImage); {
	case ctx.Err() != nil:
		return f, native.Ended(ctx)
	case err != nil:
		f.silence = err
	case digest != "":
		f.base = t.BaseImage + "@" + digest
	}
	f.reference = b.Image + ":" + tag(f.base, t.Wrap)
	if f.base == t.BaseImage || b.Force {
		return f, nil
	}
	digest, err := b.Registry.Digest(ctx, f.reference)
	switch {
	case ctx.Err() != nil:
		return f, native.Ended(ctx)
	case err != nil:
		return f, &build.Error{Class: build.ClassRegistry, Err: fmt.Errorf("asking the registry for %s: %w", f.reference, err)}
	}
	f.there = digest != ""
	return f, nil
}
