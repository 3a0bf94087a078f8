package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/OpenHands/eval-images/internal/build/evalbase"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// foresee finds out how a run would make the missing images. It only reads.
func (r *run) foresee(ctx context.Context, pool *sdk.Pool, missing []plan.Target) report.Foreseen {
	switch {
	case len(missing) == 0, r.config.Strategy == config.StrategyNative:
		return report.Foreseen{}
	case !r.rebases():
		return alike(missing, report.Making{How: report.HowNative, Reason: "a run of one image has nothing to learn from"})
	}
	b, err := r.prepareRebase(ctx, pool)
	switch {
	case err == nil:
		return b.foresee(ctx, missing)
	case r.config.Strategy != config.StrategyRebase && ctx.Err() == nil:
		r.warn("No image of this run is rebased: " + reasonOf(err))
	}
	return alike(missing, r.refused(err))
}

// alike is a plan in which all missing images are made in one way.
func alike(missing []plan.Target, m report.Making) report.Foreseen {
	f := report.Foreseen{Images: map[string]report.Making{}}
	for _, t := range missing {
		f.Images[t.InstanceID] = m
	}
	return f
}

// refused is an image that cannot be rebased.
func (r *run) refused(why error) report.Making {
	how := report.HowNative
	if r.config.Strategy == config.StrategyRebase {
		how = report.HowNone
	}
	return report.Making{How: how, Reason: reasonOf(why)}
}

func reasonOf(err error) string {
	var refusal *rebase.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return err.Error()
}

// foresee finds the references that earlier runs have left and the eval-bases that are there. What only the configuration
// of an eval-base shows, and what a reference that is yet to be made does, it does not know: images that will be refused
// for that count as rebases.
func (b *rebasing) foresee(ctx context.Context, missing []plan.Target) report.Foreseen {
	r := b.run
	f := report.Foreseen{Images: map[string]report.Making{}}
	b.references = &rebase.References{
		Registry: r.registry, Image: r.config.Image, Tag: b.referenceTag, Said: r.warn, Force: r.config.ForceBuild,
		Learned: func(rebase.Reference) {}, // a plan has no record of them
		Taken:   rebase.Taken(b.taken),
	}
	b.references.Find(ctx, missing)
	f.Verify = min(r.config.Verify, len(b.verifiable(missing)))
	for _, t := range b.references.Chosen() {
		f.Images[t.InstanceID] = report.Making{How: report.HowReference}
		if b.references.TooFew() {
			f.Images[t.InstanceID] = report.Making{How: report.HowNative,
				Reason: "it is the only image that is missing, and there are not two references"}
		}
	}
	b.lookAtBases(ctx, missing, f.Images)
	return f
}

// lookAtBases adds what becomes of the targets that are not known yet.
func (b *rebasing) lookAtBases(ctx context.Context, missing []plan.Target, known map[string]report.Making) {
	look := b.newLook()
	look.refusal = b.references.Foreseen()
	found := make([]report.Making, len(missing))
	var asked errgroup.Group
	asked.SetLimit(requestsAtOnce)
	for i, t := range missing {
		if _, ok := known[t.InstanceID]; ok {
			continue
		}
		asked.Go(func() error {
			found[i] = look.at(ctx, t)
			return nil
		})
	}
	_ = asked.Wait() // an image's error is in its place
	for i, t := range missing {
		if found[i].How != "" {
			known[t.InstanceID] = found[i]
		}
	}
	if look.unknown > 0 && ctx.Err() == nil {
		b.run.warn(fmt.Sprintf("It is not known how %d of the missing images would be made: %v", look.unknown, look.first))
	}
}

// baseLook looks for the eval-bases of many targets.
type baseLook struct {
	*rebasing
	bases   evalbase.Bases
	refusal error // what every image meets, once it has its eval-base

	mu      sync.Mutex
	silent  map[string]error // what was said when the registry of base images at a host did not answer
	unknown int
	first   error
}

func (b *rebasing) newLook() *baseLook {
	return &baseLook{rebasing: b, silent: map[string]error{}, bases: evalbase.Bases{
		Registry: b.run.registry, Image: b.run.config.EvalBaseImage, MaxAge: b.run.config.EvalBaseMaxAge,
		Key: func(_ context.Context, digest string) (string, error) { return b.baseKey.On(digest), nil },
	}}
}

func (l *baseLook) at(ctx context.Context, t plan.Target) report.Making {
	name, there, err := l.evalBase(ctx, t)
	if unanswered(err) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.unknown++; l.first == nil {
			l.first = err
		}
		return report.Making{How: report.HowUnknown, Reason: err.Error()}
	}
	if err == nil {
		err = l.refusal
	}
	m := report.Making{How: report.HowRebase}
	if err != nil {
		m = l.run.refused(err)
	}
	m.EvalBase, m.Unmade = name, name != "" && !there
	return m
}

// unanswered tells an error that leaves open what a run would do from a refusal to rebase.
func unanswered(err error) bool {
	var refusal *rebase.Refusal
	return err != nil && !errors.As(err, &refusal)
}

// evalBase names a target's eval-base, and tells whether it is there. A host that did not answer once is not asked again:
// each question would take as long.
func (l *baseLook) evalBase(ctx context.Context, t plan.Target) (name string, there bool, err error) {
	host, _, _ := strings.Cut(t.BaseImage, "/")
	l.mu.Lock()
	err = l.silent[host]
	l.mu.Unlock()
	if err != nil {
		return "", false, err
	}
	wrapped, there, err := l.run.wrapper(nil).Look(ctx, t)
	name = wrapped.BaseImage // where it is not there, nobody knows its digest, and so the eval-base's tag
	if err == nil && there {
		name, there, err = l.bases.Look(ctx, wrapped)
	}
	if unanswered(err) && !registry.Answered(err) {
		l.mu.Lock()
		l.silent[host] = err
		l.mu.Unlock()
	}
	return name, there, err
}
