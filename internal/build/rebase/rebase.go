package rebase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Strategy is this package's word in the ledger.
const Strategy = "rebase"

// Base is the eval-base image of a target.
type Base struct {
	Fetched
	// Tag is its name in its repository.
	Tag string
}

// Bases makes sure of eval-base images; an *evalbase.Bases does.
type Bases interface {
	// Of gives the target's eval-base, which is found or made. The Result holds what that took. Errors are a *Refusal,
	// where the target has to be built natively, or a *build.Error.
	Of(ctx context.Context, t plan.Target) (Base, build.Result, error)
}

// Builder puts the references' agent layers and configuration on each target's eval-base. What cannot be made so, it
// builds natively, and says why.
type Builder struct {
	Bases      Bases
	References *References
	// Native makes a whole image through the SDK, with attempts and slots of its own.
	Native build.Builder
	// Retry gives a builder its further attempts.
	Retry    func(build.Builder) build.Builder
	Registry Registry
	// Image is the repository that images are pushed to.
	Image string
	// Env are the variables that are stated outright: the SDK's commit and ref.
	Env map[string]string
	// Strict lets a target fail that would have to be built natively.
	Strict bool
	// AskFirst tells whether the registry takes manifests whose blobs it does not have, so that they are asked for before.
	AskFirst func(ctx context.Context) (bool, error)
}

// Build makes one image. It waits for the references without holding a slot.
func (b *Builder) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	if result, err, claimed := b.References.claimed(ctx, t); claimed {
		return result, err
	}
	base, before, err := b.Bases.Of(ctx, t)
	var change Change
	if err == nil {
		change, err = b.References.Change(ctx, t)
	}
	if !b.References.withdraw(t) {
		result, failure, _ := b.References.claimed(ctx, t)
		return result.After(before), failure
	}
	var result build.Result
	if err == nil {
		result, err = b.Retry(build.Func(func(ctx context.Context, t plan.Target) (build.Result, error) {
			return b.put(ctx, t, base, change)
		})).Build(ctx, t)
	}
	var refusal *Refusal
	var lost *registry.UnknownBlobs
	switch {
	case errors.As(err, &refusal):
		return b.natively(ctx, t, before, refusal)
	case errors.As(err, &lost): // also after further attempts: another run would meet it again
		return b.natively(ctx, t, result.After(before), &Refusal{Reason: "the registry has lost layers of its eval-base, or of the references"})
	}
	return result.After(before), err
}

// natively builds what was refused, and keeps the reason.
func (b *Builder) natively(ctx context.Context, t plan.Target, before build.Result, refusal *Refusal) (build.Result, error) {
	if b.Strict {
		before.Refusal = refusal.Reason
		return before, &build.Error{Class: build.ClassRefused, Err: refusal}
	}
	result, err := b.Native.Build(ctx, t)
	result.Refusal = refusal.Reason
	return result.After(before), err
}

// put writes the image: its configuration, then its manifest under each tag, the last of which makes it visible.
func (b *Builder) put(ctx context.Context, t plan.Target, base Base, change Change) (build.Result, error) {
	begin := time.Now()
	result := build.Result{Strategy: Strategy, Attempts: 1}
	img, err := change.Apply(base.Image, at(base.Repository, base.Tag), base.Digest, b.Env)
	if err != nil {
		return build.Result{}, err // a *Refusal
	}
	m := registry.Manifest{MediaType: img.MediaType, Raw: img.Manifest}
	err = b.write(ctx, t, base, img, m)
	result.Making = time.Since(begin)
	if err != nil {
		return result, Failed(ctx, "putting "+t.InstanceID+" on its eval-base", err)
	}
	result.Tags, result.Digest = t.Tags, m.Digest()
	return result, nil
}

func (b *Builder) write(ctx context.Context, t plan.Target, base Base, img Image, m registry.Manifest) error {
	if err := b.bring(ctx, base, img); err != nil {
		return err
	}
	if _, err := b.Registry.PutBlob(ctx, b.Image, img.Config); err != nil {
		return err
	}
	ask, err := b.AskFirst(ctx)
	if err != nil {
		return err
	}
	if ask {
		if err := b.check(ctx, img); err != nil {
			return err
		}
	}
	for _, tag := range t.Tags {
		if err := b.Registry.PutManifest(ctx, tag, m); err != nil {
			return err
		}
	}
	return nil
}

// bring has the eval-base's layers in the repository of the images, where that is another one.
func (b *Builder) bring(ctx context.Context, base Base, img Image) error {
	if base.Repository == b.Image {
		return nil
	}
	layers, err := Layers(base.Image)
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := b.Registry.Mount(ctx, base.Repository, b.Image, l.Digest, l.Size); err != nil {
			return err
		}
	}
	return nil
}

// check asks for each layer.
func (b *Builder) check(ctx context.Context, img Image) error {
	layers, err := Layers(img)
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	for _, l := range layers {
		if asked[l.Digest] {
			continue
		}
		asked[l.Digest] = true
		switch there, err := b.Registry.HasBlob(ctx, b.Image, l.Digest); {
		case err != nil:
			return err
		case !there:
			return &registry.UnknownBlobs{Digests: []string{l.Digest}, Err: fmt.Errorf("%s has no blob %s", b.Image, l.Digest)}
		}
	}
	return nil
}

// Failed is a registry's refusal in the words of the build package. What has such words already stays as it is.
func Failed(ctx context.Context, doing string, err error) error {
	var refusal *Refusal
	var known *build.Error
	switch {
	case err == nil, errors.As(err, &refusal), errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &build.Error{Class: build.ClassCancelled, Err: fmt.Errorf("%s: %w", doing, context.Cause(ctx))}
	default:
		return build.Unanswered(doing, err)
	}
}
