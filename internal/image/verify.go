package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/imagediff"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// maxDifferences bounds what the report lists of one image.
const maxDifferences = 20

// verifier compares rebased images with native builds of theirs while the run goes on.
type verifier struct {
	maker    *Maker
	ordered  []plan.Target // the first that was rebased is compared first
	outcomes map[string]chan *outcome.Outcome
}

// newVerifier returns a verifier for targets in the order in which they serve as references: those are compared first that are
// the last to be made references.
func (m *Maker) newVerifier(candidates []plan.Target) *verifier {
	v := &verifier{m, slices.Clone(candidates), map[string]chan *outcome.Outcome{}}
	slices.Reverse(v.ordered)
	for _, t := range v.ordered {
		v.outcomes[t.InstanceID] = make(chan *outcome.Outcome, 1)
	}
	return v
}

// ended takes the outcome of a target.
func (v *verifier) ended(out *outcome.Outcome) {
	if waiting := v.outcomes[out.Target.InstanceID]; waiting != nil {
		waiting <- out
	}
}

// run builds up to Verify rebased images natively and compares them. It starts after the first rebase, so it does not delay the
// references, for which all images wait. Without a builder it only warns: if the user asked for a verification, the preflight has
// failed before.
func (v *verifier) run(ctx context.Context) {
	m := v.maker
	rebased, ok := v.next(ctx)
	if !ok {
		return
	}
	if err := m.builder.Reach(ctx); err != nil {
		if ctx.Err() == nil {
			m.report.Warn("No rebased image was verified, because nothing can be built here: " + err.Error())
		}
		return
	}
	begin := time.Now()
	var all sync.WaitGroup
	for number := 1; ok; number++ {
		out := rebased // the goroutine must not see the next one
		all.Go(func() { m.verify(ctx, out, number) })
		if number == m.Verify {
			break
		}
		rebased, ok = v.next(ctx)
	}
	all.Wait()
	m.report.Phase(ledger.VerifyPhase, begin)
}

// next waits for the outcomes of the targets, one after the other, until one was rebased.
func (v *verifier) next(ctx context.Context) (*outcome.Outcome, bool) {
	for len(v.ordered) > 0 {
		t := v.ordered[0]
		v.ordered = v.ordered[1:]
		select {
		case out := <-v.outcomes[t.InstanceID]:
			if out.Status() == outcome.Built && out.Strategy == outcome.Rebase {
				return out, ctx.Err() == nil
			}
		case <-ctx.Done():
			return nil, false
		}
	}
	return nil, false
}

// verify compares a rebased image with a native build.
func (m *Maker) verify(ctx context.Context, rebased *outcome.Outcome, number int) {
	m.report.Doing(rebased.Target, "being compared with a native build", "")
	defer m.report.Doing(rebased.Target, "", "")
	native, err := m.buildForComparison(ctx, rebased.Target, number)
	v := ledger.Verified{Instance: rebased.Target.InstanceID, Tags: native.Tags}
	var agent agentDelta
	if err == nil {
		agent, err = m.references.wait(ctx) // it is known, because an image was rebased
	}
	sameBuilder := agent.sameBuilder && !m.restarted.Load() // which may have lost its cache, and made the agent's layers again
	// By its digest: another run may have overwritten its tags, with layers of another builder.
	image := repositoryOf(rebased.Tags[0]) + "@" + rebased.Digest
	m.compare(ctx, &v, err, image, len(agent.Layers), sameBuilder)
}

// VerifyImage compares an image that exists with a native build of the target. It finds out by itself how many layers are the
// agent's: those above the native image's own base stage.
func (m *Maker) VerifyImage(ctx context.Context, t plan.Target, number int, image string) {
	m.report.Doing(t, "being compared with a native build", "")
	defer m.report.Doing(t, "", "")
	native, err := m.buildForComparison(ctx, t, number)
	v := ledger.Verified{Instance: image, Tags: native.Tags}
	agentLayers := 0
	if err == nil { // the base stage is in the builder's cache now
		var base []string
		base, err = m.buildBaseStage(ctx, t, fmt.Sprintf("verify-base-%s-%d", m.nonce, number), false)
		v.Tags = append(v.Tags, base...)
		if err == nil {
			agentLayers, err = m.countAgentLayers(ctx, native.Tags[0], base[0])
		}
	}
	m.compare(ctx, &v, err, image, agentLayers, false)
}

// countAgentLayers counts the layers that a native image has above its own base stage.
func (m *Maker) countAgentLayers(ctx context.Context, native, base string) (int, error) {
	final, err := Fetch(ctx, m.registry, native)
	if err != nil {
		return 0, fmt.Errorf("reading the native image: %w", err)
	}
	from, err := Fetch(ctx, m.registry, base)
	if err != nil {
		return 0, fmt.Errorf("reading its base stage: %w", err)
	}
	delta, err := rebase.Diff(final.Image, from.Image, rebase.Uses{}) // it is put on no other base
	return len(delta.Layers), err
}

// buildForComparison makes a native image under tags that no other run uses.
func (m *Maker) buildForComparison(ctx context.Context, t plan.Target, number int) (*outcome.Outcome, error) {
	t.CustomTag = fmt.Sprintf("verify-%s-%d", m.nonce, number)
	out := &outcome.Outcome{Target: t}
	err := m.retries.Do(ctx, out, func() error {
		return m.inSlot(ctx, t, out, func() error {
			return m.inTime(outcome.Native, func() error { return m.buildWhole(ctx, t, sdkBuild{What: "for comparison, "}, out) })
		})
	})
	m.reportBeside("native build for comparison", out)
	return out, err
}

// maxError limits the error of a comparison in the record, in bytes.
const maxError = 1000

// compare completes a record with what a comparison finds, reports it, and removes the native image. failed is why that could
// not be made. A cancelled comparison is not reported; one that the deadline stopped has failed.
func (m *Maker) compare(ctx context.Context, v *ledger.Verified, failed error, reference string, agentLayers int, sameBuilder bool) {
	found, err := []imagediff.Difference(nil), failed
	if err == nil {
		found, err = m.differences(ctx, v.Tags[0], reference, agentLayers, sameBuilder)
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), failure.ErrDeadline) {
		return
	}
	switch {
	case err != nil:
		v.Result, v.Differences = ledger.VerifiedFailed, []string{failure.Shorten(err.Error(), maxError)}
	case len(found) > 0:
		v.Result, v.Differences = ledger.VerifiedDifferent, strings.Split(strings.TrimSpace(imagediff.List(found, maxDifferences)), "\n")
	default:
		v.Result = ledger.VerifiedOK
	}
	m.discard(ctx, v)
	m.report.Verified(*v)
}

func (m *Maker) differences(ctx context.Context, native, reference string, agentLayers int, sameBuilder bool) ([]imagediff.Difference, error) {
	want, err := Fetch(ctx, m.registry, native)
	if err != nil {
		return nil, fmt.Errorf("reading the native image: %w", err)
	}
	got, err := Fetch(ctx, m.registry, reference)
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	below, err := layersBelow(want, got, agentLayers)
	if err != nil {
		return nil, err
	}
	python := &sdk.PycComparer{Path: m.Python}
	defer python.Close()
	o := imagediff.Options{BaseLayers: below, SameBuilder: sameBuilder, Tree: m.VerifyTree, Pyc: python}
	return imagediff.Compare(ctx, m.registry, comparable(want), comparable(got), o)
}

// discard removes a native image that was made for comparison, and records which of its tags are left.
func (m *Maker) discard(ctx context.Context, v *ledger.Verified) {
	for _, tag := range v.Tags {
		if err := m.registry.Delete(ctx, tag); err != nil {
			v.TagsLeft = append(v.TagsLeft, tag)
			m.report.Info(fmt.Sprintf("the registry does not delete the tag %s: %v", tag, err))
		}
	}
}

// layersBelow is how many layers of each image lie below the agent's.
func layersBelow(want, got FetchedImage, agentLayers int) (below [2]int, err error) {
	for i, image := range []FetchedImage{want, got} {
		layers, err := rebase.Layers(image.Image)
		if err != nil {
			return below, err
		}
		if below[i] = len(layers) - agentLayers; below[i] < 0 {
			return below, fmt.Errorf("the image has %d layers, fewer than the %d of the agent", len(layers), agentLayers)
		}
	}
	return below, nil
}

func comparable(f FetchedImage) imagediff.Image {
	return imagediff.Image{Repository: f.Repository, Manifest: f.Manifest, Config: f.Config}
}
