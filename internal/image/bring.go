package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Earlier versions kept eval-bases, references and base images with Python packages in the repository of the images. What is found
// there is brought over, so that no run is a cold one, and a clean-up of old images deletes none of it.

// broughtBases is what a run knows of what it brings over.
type broughtBases struct {
	running singleflight.Group // by tag
	warn    sync.Once
	refused atomic.Bool // the registry mounts nothing
}

// evalBasePlaces are the repositories that eval-bases, references and base images with Python packages are looked for in.
func (m *Maker) evalBasePlaces() []string {
	if m.OtherEvalBases == "" {
		return []string{m.EvalBaseRepository}
	}
	return []string{m.EvalBaseRepository, m.OtherEvalBases}
}

// findEvalBase reads the manifest of an eval-base, and tells in which repository it is. The error is registry.ErrNotFound where none has
// it.
func (m *Maker) findEvalBase(ctx context.Context, tag string) (manifest registry.Manifest, in string, err error) {
	for _, in = range m.evalBasePlaces() {
		if manifest, err = m.registry.Manifest(ctx, in+":"+tag); !errors.Is(err, registry.ErrNotFound) {
			break
		}
	}
	return manifest, in, err
}

// brings reports whether what is found in OtherEvalBases is brought over. A run whose eval-bases are among the images leaves it where it
// is: no clean-up of images deletes it there.
func (m *Maker) brings() bool { return m.OtherEvalBases != "" && m.EvalBaseRepository != m.Repository }

// bring mounts a manifest of OtherEvalBases, with all its blobs, under a tag in EvalBaseRepository, once for all that ask at the same
// time. Nothing is copied through this machine: base images have gigabytes. After a failure, which is a warning, the caller uses what
// was found where it is.
func (m *Maker) bring(ctx context.Context, manifest registry.Manifest, tag string) bool {
	b := &m.brought
	_, err, _ := b.running.Do(tag, func() (any, error) {
		if b.refused.Load() {
			return nil, registry.ErrNotMounted
		}
		err := m.registry.MountImage(ctx, m.OtherEvalBases, manifest, m.EvalBaseRepository+":"+tag)
		if errors.Is(err, registry.ErrNotMounted) {
			b.refused.Store(true)
		}
		return nil, err
	})
	if err != nil && ctx.Err() == nil {
		b.warn.Do(func() {
			m.report.Warn(fmt.Sprintf("%s was not brought from %s to %s, and is used where it is. Others may be, too: %v",
				tag, m.OtherEvalBases, m.EvalBaseRepository, err))
		})
	}
	return err == nil
}

// bringEvalBase brings the eval-base that was found, and returns it where it is then.
func (m *Maker) bringEvalBase(ctx context.Context, d Decision, out *outcome.Outcome) FetchedImage {
	if d.in != m.OtherEvalBases || !m.brings() {
		return *d.evalBase
	}
	here := *d.evalBase
	_ = m.puts.do(ctx, out, outcome.WaitingToPush, func() error { // without a slot ctx has ended, which the caller finds
		out.Enter(outcome.Push)
		if m.bring(ctx, *d.found, d.EvalBase) {
			here.Reference, here.Repository = m.EvalBaseRepository+":"+d.EvalBase, m.EvalBaseRepository
		}
		return nil
	})
	return here
}

// bringPipBase brings a base image with Python packages, and returns its reference then. If it stayed behind, and was deleted there, it
// would be made again with another digest, and so would the eval-base.
func (m *Maker) bringPipBase(ctx context.Context, reference string) string {
	name, other := strings.CutPrefix(reference, m.OtherEvalBases+":")
	if !other || !m.brings() {
		return reference
	}
	tag, _, _ := strings.Cut(name, "@")
	manifest, err := m.registry.Manifest(ctx, reference)
	if err != nil || !m.bring(ctx, manifest, tag) { // what builds on it finds what is wrong
		return reference
	}
	return m.EvalBaseRepository + ":" + name
}

// bringReferences brings the references that were found, each after its base stage. No image waits for that.
func (m *Maker) bringReferences(ctx context.Context) {
	for place, found := range m.references.known {
		if found == nil || found.own || found.image.Repository != m.OtherEvalBases || !m.brings() {
			continue
		}
		tag, base := m.referenceTag(place+1), found.base
		if base.Repository == m.OtherEvalBases {
			if !m.bring(ctx, registry.Manifest{MediaType: base.MediaType, Raw: base.Manifest}, tag+"-base") {
				return
			}
			base.Repository = m.EvalBaseRepository
		}
		m.bring(ctx, annotatedReference(found.image, base), tag)
	}
}
