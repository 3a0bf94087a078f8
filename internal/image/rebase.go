package image

import (
	"context"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/logfile"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
)

// pushing is what a heartbeat says of an image that is pushed, or waits for its turn to be.
const pushing = "pushing"

// rebase puts the references' layers and configuration on the target's eval-base. It waits for the eval-base and for the
// references without a slot. A *rebase.Refusal says that the image has to be built natively.
func (m *Maker) rebase(ctx context.Context, t plan.Target, d Decision, out *outcome.Outcome) error {
	base, err := m.evalBase(ctx, t, d, out)
	if err != nil {
		return err
	}
	m.report.Doing(t, "waiting for the references", "")
	out.Enter(outcome.WaitingForDelta)
	agent, err := m.references.wait(ctx)
	if err != nil {
		return err
	}
	m.report.Doing(t, pushing, "")
	return m.puts.do(ctx, out, outcome.WaitingToPush, func() error {
		out.Enter(outcome.Push)
		if !m.Force { // another run may have pushed it since it was looked for
			if there, err := m.isThere(ctx, t, out); err != nil || there {
				return err
			}
		}
		return m.inTime(outcome.Rebase, func() error { return m.put(ctx, t, base, agent, out) })
	})
}

// put writes the image: its configuration, then its manifest under each tag.
func (m *Maker) put(ctx context.Context, t plan.Target, base FetchedImage, agent agentDelta, out *outcome.Outcome) error {
	defer addTime(&out.Build, time.Now())
	env := map[string]string{"OPENHANDS_BUILD_GIT_SHA": m.SHA, "OPENHANDS_BUILD_GIT_REF": "unknown"}
	img, err := agent.Apply(base.Image, base.Reference, base.Digest, env)
	if err != nil {
		return err // a *rebase.Refusal
	}
	m.warnOfLayers(t, img)
	out.Strategy, out.NotRebased = outcome.Rebase, "" // an earlier attempt may have found a reason
	manifest := registry.Manifest{MediaType: img.MediaType, Raw: img.Manifest}
	digest, err := m.write(ctx, t, out, base.Repository, agent, img, manifest)
	if err != nil {
		return registryFailure(ctx, "putting "+t.InstanceID+" on its eval-base", err)
	}
	out.Tags, out.Digest = t.Tags, digest
	if digest != manifest.Digest() { // another run has put it
		out.Skipped, out.Strategy = true, ""
	}
	return nil
}

// maxLayers is how many layers the Docker Engine puts on each other (moby/moby, layer/layer.go, maxLayerDepth). An image with
// more can be built and pushed, but not run there.
const maxLayers = 125

// warnOfLayers warns of the first image with too many layers. The others have a note in their log.
func (m *Maker) warnOfLayers(t plan.Target, img rebase.Image) {
	layers, err := rebase.Layers(img)
	if err != nil || len(layers) <= maxLayers {
		return
	}
	warning := fmt.Sprintf("The image of %s has %d layers. The Docker Engine does not run images of more than %d: "+
		"use a base image with fewer layers, or another container runtime.", t.InstanceID, len(layers), maxLayers)
	logfile.Note(m.logOf(t.InstanceID, ""), warning)
	m.warnDeep.Do(func() { m.report.Warn(warning + " Other images of this run may have as many.") })
}

// write puts an image's blobs, then its manifest under each tag, which makes it visible. It returns the digest that all tags name at
// the end: another run may have put the image first. The top layers are the agent's; the others are the eval-base's.
func (m *Maker) write(
	ctx context.Context, t plan.Target, out *outcome.Outcome, evalBases string, agent agentDelta, img rebase.Image, manifest registry.Manifest,
) (digest string, err error) {
	layers, err := rebase.Layers(img)
	if err != nil {
		return "", err
	}
	below := len(layers) - len(agent.Layers)
	left := m.ImageTimeout
	if left, err = m.mountLayers(ctx, t, out, evalBases, layers[:below], left); err == nil {
		_, err = m.mountLayers(ctx, t, out, agent.repository, layers[below:], left)
	}
	if err != nil {
		return "", err
	}
	if _, err := m.registry.PutBlob(ctx, m.Repository, img.Config); err != nil {
		return "", err
	}
	checks, err := m.registry.ProbeManifest(ctx, m.Repository)
	if err != nil {
		return "", err
	}
	if !checks {
		m.warnLax.Do(func() {
			m.report.Warn("This registry accepts manifests of layers that it does not have, so each layer is asked for first.")
		})
		if err := m.checkLayers(ctx, layers); err != nil {
			return "", err
		}
	}
	if err := m.tag(ctx, t.Tags, manifest); err != nil || len(t.Tags) == 1 {
		return manifest.Digest(), err
	}
	// Another run may put the same image at the same time, and then each would have the tag that it wrote last. The first tag decides.
	if first, err := m.registry.Digest(ctx, t.Tags[0]); err != nil || first == manifest.Digest() {
		return first, err
	}
	if manifest, err = m.registry.Manifest(ctx, t.Tags[0]); err != nil {
		return "", err
	}
	return manifest.Digest(), m.tag(ctx, t.Tags[1:], manifest)
}

// tag puts a manifest under each tag.
func (m *Maker) tag(ctx context.Context, tags []string, manifest registry.Manifest) error {
	for _, tag := range tags {
		if err := m.registry.PutManifest(ctx, tag, manifest); err != nil {
			return err
		}
	}
	return nil
}

// checkLayers asks whether the registry has each layer.
func (m *Maker) checkLayers(ctx context.Context, layers []rebase.Layer) error {
	asked := map[string]bool{}
	for _, l := range layers {
		if asked[l.Digest] {
			continue
		}
		asked[l.Digest] = true
		switch there, err := m.registry.HasBlob(ctx, m.Repository, l.Digest); {
		case err != nil:
			return err
		case !there:
			return &registry.UnknownBlobs{Digests: []string{l.Digest}, Err: fmt.Errorf("%s has no blob %s", m.Repository, l.Digest)}
		}
	}
	return nil
}
