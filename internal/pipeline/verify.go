package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/build/verify"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// maxDifferences bounds what the report says of one image.
const maxDifferences = 20

// verifiable orders the targets by how well they serve for a comparison: those first that are the last to be made references.
func (b *rebasing) verifiable(missing []plan.Target) []plan.Target {
	ordered := rebase.Candidates(missing)
	slices.Reverse(ordered)
	return ordered[:max(0, len(ordered)-b.references.Wanting())]
}

// verifyAll builds the first of the targets that are rebased natively too, and compares each. That is after the references
// were built: none is built in vain, and none makes those slower, for which all images wait. The default is left out where
// there is no builder; for one that was asked for the preflight has reached it.
func (b *rebasing) verifyAll(ctx context.Context, ordered []plan.Target) {
	r := b.run
	next, ordered, found := b.nextRebased(ctx, ordered)
	if !found {
		return
	}
	if err := r.reachBuilder(ctx); err != nil {
		if ctx.Err() == nil {
			r.warn("No rebased image was verified, because nothing can be built here: " + err.Error())
		}
		return
	}
	_ = r.phase("verify", func() error {
		var beside sync.WaitGroup
		for number := 1; found; number++ {
			outcome := next
			beside.Go(func() { b.verify(ctx, outcome, number) })
			if number == r.config.Verify {
				break
			}
			next, ordered, found = b.nextRebased(ctx, ordered)
		}
		beside.Wait()
		return nil
	})
}

// nextRebased waits for what becomes of the targets, one after the other, until one was rebased. It gives that and the
// targets behind it.
func (b *rebasing) nextRebased(ctx context.Context, ordered []plan.Target) (build.Outcome, []plan.Target, bool) {
	for i, t := range ordered {
		select {
		case outcome := <-b.outcomes[t.InstanceID]:
			if outcome.Status() == build.Built && outcome.Result.Strategy == rebase.Strategy {
				return outcome, ordered[i+1:], ctx.Err() == nil
			}
		case <-ctx.Done():
			return build.Outcome{}, nil, false
		}
	}
	return build.Outcome{}, nil, false
}

// verify compares a rebased image.
func (b *rebasing) verify(ctx context.Context, rebased build.Outcome, number int) {
	made, err := b.chain.throwAway(number).Build(ctx, rebased.Target)
	verified := ledger.Verified{Instance: rebased.Target.InstanceID, Tags: made.Tags}
	layers := b.references.AgentLayers()
	b.run.compare(ctx, &verified, err, rebased.Result.Tags[0], func(want, got rebase.Fetched) (verify.Options, error) {
		below, err := below(want, got, layers)
		return verify.Options{BaseLayers: below, SameBuilder: b.references.OwnBuilder()}, err
	})
}

// throwAway makes a native image under tags that the next run's take over.
func (c chain) throwAway(number int) build.Builder {
	b := build.NewConfirmer(c.run.wrapping(c.native(c.run.request(), "for comparison, ", nil)), c.run.registry)
	return c.retry(c.slotted(tagged(b, func(plan.Target) string { return fmt.Sprintf("verify-%d", number) })))
}

// below is how many layers of each image lie below the agent's.
func below(want, got rebase.Fetched, agent int) (below [2]int, err error) {
	for i, image := range []rebase.Fetched{want, got} {
		layers, err := rebase.Layers(image.Image)
		if err != nil {
			return below, err
		}
		if below[i] = len(layers) - agent; below[i] < 0 {
			return below, fmt.Errorf("the image has %d layers, fewer than the %d of the agent", len(layers), agent)
		}
	}
	return below, nil
}

// compare completes a record with what a comparison finds, reports it, and removes the native image.
func (r *run) compare(ctx context.Context, v *ledger.Verified, failed error, reference string, options func(want, got rebase.Fetched) (verify.Options, error)) {
	found, err := []verify.Difference(nil), failed
	if err == nil {
		found, err = r.differences(ctx, v.Tags[0], reference, options)
	}
	if ctx.Err() != nil {
		return
	}
	switch {
	case err != nil:
		v.Result, v.Differences = ledger.VerifiedFailed, []string{err.Error()}
	case len(found) > 0:
		v.Result, v.Differences = ledger.VerifiedDifferent, strings.Split(strings.TrimSpace(verify.List(found, maxDifferences)), "\n")
	default:
		v.Result = ledger.VerifiedOK
	}
	r.discard(ctx, v)
	if v.Result == ledger.VerifiedOK {
		r.actions.Info(fmt.Sprintf("%s is equal to a native build of it", v.Instance))
	} else {
		r.actions.Error(v.Instance, fmt.Sprintf("verify: %s is %s:\n%s", reference, v.Result, strings.Join(v.Differences, "\n")))
	}
	r.learn(func(f *ledger.Run) { f.Rebase.Verified = append(f.Rebase.Verified, *v) })
}

func (r *run) differences(ctx context.Context, native, reference string, options func(want, got rebase.Fetched) (verify.Options, error)) ([]verify.Difference, error) {
	want, err := rebase.FetchReference(ctx, r.registry, native)
	if err != nil {
		return nil, fmt.Errorf("reading the native image: %w", err)
	}
	got, err := rebase.FetchReference(ctx, r.registry, reference)
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	o, err := options(want, got)
	if err != nil {
		return nil, err
	}
	python := &verify.Python{Path: r.python}
	defer python.Close()
	o.Tree, o.Pyc = r.config.VerifyTree, python
	return verify.Compare(ctx, r.registry, comparable(want), comparable(got), o)
}

func comparable(f rebase.Fetched) verify.Image {
	return verify.Image{Repository: f.Repository, Manifest: f.Manifest, Config: f.Config}
}

// discard removes a native image that was made for comparison, and takes down which of its tags are left.
func (r *run) discard(ctx context.Context, v *ledger.Verified) {
	for _, tag := range v.Tags {
		err := r.registry.Delete(ctx, tag)
		if errors.Is(err, registry.ErrNotFound) { // it went with the tag before
			continue
		}
		if err != nil {
			v.TagsLeft = append(v.TagsLeft, tag)
			r.actions.Info(fmt.Sprintf("the tag %s is left, and the next run overwrites it: %v", tag, err))
		}
	}
}

// sameTrees compares the agent layers of two references whose digests differ.
func (b *rebasing) sameTrees(ctx context.Context, first, second rebase.Fetched, agent int) error {
	below, err := below(first, second, agent)
	if err != nil {
		return err
	}
	python := &verify.Python{Path: b.run.python}
	defer python.Close()
	found, err := verify.CompareAgents(ctx, b.run.registry, comparable(first), comparable(second), verify.Options{BaseLayers: below, Pyc: python})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New(verify.List(found, maxDifferences))
	}
	b.run.learn(func(f *ledger.Run) { f.Rebase.TreesCompared = true })
	return nil
}

// verifyImages is the command of that name: it builds the images that were named natively, and compares.
func (r *run) verifyImages(ctx context.Context, pool native.Workers) error {
	r.learn(func(f *ledger.Run) { f.PlannedTotal, f.Planned = 0, 0 }) // no image is asked for
	targets, err := r.named(ctx, r.config.VerifyImages)
	if err != nil {
		return refusal{err}
	}
	if err := r.reachBuilder(ctx); err != nil {
		return err
	}
	c := r.newChain(pool)
	return r.phase("verify", func() error {
		build.All(ctx, build.Func(func(ctx context.Context, t plan.Target) (build.Result, error) {
			number := slices.Index(instancesOf(targets), t.InstanceID)
			r.verifyImage(ctx, c, t, number+1, r.config.VerifyImages[number])
			return build.Result{}, nil
		}), targets)
		return nil
	})
}

func instancesOf(targets []plan.Target) []string {
	ids := make([]string, len(targets))
	for i, t := range targets {
		ids[i] = t.InstanceID
	}
	return ids
}

// verifyImage finds out by itself how many layers are the agent's: those above the native image's own base stage.
func (r *run) verifyImage(ctx context.Context, c chain, t plan.Target, number int, image string) {
	made, err := c.throwAway(number).Build(ctx, t)
	v := ledger.Verified{Instance: image, Tags: made.Tags}
	var base build.Result
	if err == nil {
		base, err = c.baseOf(func(plan.Target) string { return fmt.Sprintf("verify-base-%d", number) }).Build(ctx, t)
		v.Tags = append(v.Tags, base.Tags...)
	}
	r.compare(ctx, &v, err, image, func(want, got rebase.Fetched) (verify.Options, error) {
		from, err := rebase.FetchReference(ctx, r.registry, base.Tags[0])
		if err != nil {
			return verify.Options{}, err
		}
		change, err := rebase.Learn(want.Image, from.Image, rebase.Taken{}) // it is put on no other base
		if err != nil {
			return verify.Options{}, err
		}
		below, err := below(want, got, len(change.Layers))
		return verify.Options{BaseLayers: below}, err
	})
}

// named finds the targets that have the images: by tag, or by the digest on which a tag is.
func (r *run) named(ctx context.Context, images []string) ([]plan.Target, error) {
	targets := make([]plan.Target, len(images))
	var unknown []error
	for i, image := range images {
		found := slices.IndexFunc(r.targets, func(t plan.Target) bool { return slices.Contains(t.Tags, image) })
		if _, digest, byDigest := strings.Cut(image, "@"); byDigest {
			outcomes, _ := build.Present(ctx, r.registry, r.targets)
			at := slices.IndexFunc(outcomes, func(o build.Outcome) bool { return o.Result.Digest == digest })
			if at >= 0 {
				found = slices.IndexFunc(r.targets, func(t plan.Target) bool { return t.InstanceID == outcomes[at].Target.InstanceID })
			}
		}
		if found < 0 {
			unknown = append(unknown, &config.InputError{Input: config.VerifyCommand, Problem: config.Quote(image) + " is none of the images that these inputs make",
				Fix: "give the sdk-ref, benchmark and sdk-options that it was made with"})
			continue
		}
		targets[i] = r.targets[found]
	}
	return targets, errors.Join(unknown...)
}
