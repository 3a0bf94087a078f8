package evalbase

import (
	"context"
	"errors"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Look tells what Of would find, and makes nothing: it needs Registry, Image, Key and MaxAge alone. The target's base
// image is the wrapped one, where it needs one. tag is the eval-base's, the same for targets that share it, or empty where
// it is not known; there is false where it would have to be made. Errors are a *rebase.Refusal, or say that a registry has
// not answered, so that nobody can tell what a run would do. It is one HEAD for the digest of the base image and one GET of
// the eval-base's manifest.
func (b *Bases) Look(ctx context.Context, t plan.Target) (tag string, there bool, err error) {
	wanted, err := b.named(ctx, t)
	var silent *silence
	if errors.As(err, &silent) {
		return "", false, build.Unanswered("asking for the digest of the base image "+t.BaseImage, silent.err)
	}
	if err != nil {
		return "", false, err
	}
	tag = Tag(wanted.CustomTag)
	m, err := b.Registry.Manifest(ctx, b.Image+":"+tag)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return tag, false, nil
	case err != nil:
		return tag, false, rebase.Failed(ctx, "asking for its eval-base", err)
	}
	if err := b.judge(m.Raw); !errors.Is(err, errMissing) {
		return tag, true, err
	}
	return tag, false, nil
}

// named gives a target whose base image is wrapped the name of that with its digest, and the key of its eval-base.
func (b *Bases) named(ctx context.Context, t plan.Target) (plan.Target, error) {
	digest, err := b.Registry.Digest(ctx, t.BaseImage)
	switch {
	case err != nil && !registry.Answered(err) && ctx.Err() == nil:
		return t, &silence{err} // The builder may know a way to it, a mirror for instance.
	case err != nil:
		return t, rebase.Failed(ctx, "asking for the digest of the base image "+t.BaseImage, err)
	case digest == "":
		return t, &rebase.Refusal{Reason: "the base image's registry does not have it, so that its digest is not known"}
	}
	key, err := b.Key(ctx, digest)
	if err != nil {
		return t, err
	}
	t.BaseImage, t.CustomTag, t.Wrap = t.BaseImage+"@"+digest, key, ""
	return t, nil
}

// silence is the refusal of a target whose base image's registry did not answer at all.
type silence struct{ err error }

func (s *silence) Error() string { return s.Unwrap().Error() }

func (s *silence) Unwrap() error {
	return &rebase.Refusal{Reason: "the registry of the base image does not answer: " + s.err.Error()}
}

// judge decides on an eval-base that is there: nil, errMissing where it is too old, or a *rebase.Refusal.
func (b *Bases) judge(manifest []byte) error {
	made, dated := rebase.Made(manifest)
	if b.MaxAge > 0 && (!dated || time.Since(made) > b.MaxAge) {
		return errMissing
	}
	return rebase.Marked(manifest)
}
