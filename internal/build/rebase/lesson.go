package rebase

import (
	"context"
	"errors"
	"fmt"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// load reads a reference, and the image that it is compared with, which its annotations name.
func (r *References) load(ctx context.Context, tag string) (learned, error) {
	final, err := Fetch(ctx, r.Registry, r.Image, tag)
	if err != nil {
		return learned{}, err
	}
	name, digest := baseOf(final.Manifest)
	if digest == "" {
		return learned{}, errors.New("it does not name its base")
	}
	base, err := Fetch(ctx, r.Registry, name, digest)
	if err != nil {
		return learned{}, fmt.Errorf("reading its base: %v", err) // one that is missing does not make the reference missing
	}
	change, err := Learn(final.Image, base.Image, r.Taken)
	if err != nil {
		return learned{}, err
	}
	for _, l := range change.Layers {
		if there, err := r.Registry.HasBlob(ctx, r.Image, l.Digest); err != nil || !there {
			return learned{}, fmt.Errorf("the registry has not its layer %s (%v)", l.Digest, err)
		}
	}
	return learned{change: change, final: final}, nil
}

// lesson is what a reference has taught, or why it has not.
type lesson struct {
	learned
	place int
	err   error
}

// learn compares what landed in the registry with the target's base stage for the same commit, and keeps it for later runs
// under the tag of its place.
func (r *References) learn(ctx context.Context, t plan.Target, place int) lesson {
	found, base, err := r.compare(ctx, t)
	if err != nil {
		if ctx.Err() == nil {
			r.Said(fmt.Sprintf("%s is not used as a reference: %v", t.InstanceID, err))
		}
		return lesson{place: place, err: build.ForAll(t, err)}
	}
	name := at(r.Image, r.Tag(place+1))
	annotated := annotate(found.final.Manifest, [][2]string{{baseName, base.Repository}, {baseDigest, base.Digest}})
	if err := r.Registry.PutManifest(ctx, name, registry.Manifest{MediaType: found.final.MediaType, Raw: annotated}); err != nil {
		r.Said(fmt.Sprintf("The reference %s is lost for later runs: %v", name, err))
	}
	r.Learned(Reference{Instance: t.InstanceID, Tag: name, Digest: found.final.Digest})
	return lesson{found, place, nil}
}

func (r *References) compare(ctx context.Context, t plan.Target) (found learned, base Fetched, err error) {
	stage := r.claims[t.InstanceID].base
	<-stage.made
	if stage.err != nil {
		return found, base, fmt.Errorf("making its base stage: %w", stage.err)
	}
	if base, err = FetchReference(ctx, r.Registry, stage.tags[0]); err != nil {
		return found, base, fmt.Errorf("reading its base stage: %w", err)
	}
	final, err := FetchReference(ctx, r.Registry, r.claims[t.InstanceID].result.Tags[0])
	if err != nil {
		return found, base, fmt.Errorf("reading it: %w", err)
	}
	change, err := Learn(final.Image, base.Image, r.Taken)
	return learned{change, final, true}, base, err
}
