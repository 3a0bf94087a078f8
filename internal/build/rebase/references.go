package rebase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// wanted is how many references are learned from: one alone does not show which part of a change its own base has hidden.
const wanted = 2

// most bounds the targets that are tried as references before the others are built natively.
const most = 5

// References are the images that a run learns from. They are targets of it, built natively, or those that an earlier run
// has left under tags of their own; a final image is never learned from, because nobody can tell how it was made.
type References struct {
	// Native makes a target's whole image, and Base, natively too, its base-image-minimal for the same commit. They run
	// beside each other.
	Native, Base build.Builder
	// Passed is closed when one of those that Native makes has got past all that they share, so that the next one need not
	// wait for its end any longer.
	Passed   <-chan struct{}
	Registry Registry
	// Image is the repository of the references' own tags, and Tag names the first or the second of them.
	Image string
	Tag   func(i int) string
	// Taken is what the target's instructions take in of its base stage.
	Taken Taken
	// SameTrees compares the agent layers of two references whose digests differ; nil when their files are equal. The agent's are the topmost layers.
	SameTrees func(ctx context.Context, a, b Fetched, agentLayers int) error
	// Force has both made anew, whatever earlier runs have left.
	Force bool
	// Learned is told of each reference, and Said of what a user should know.
	Learned func(Reference)
	Said    func(string)

	done   chan struct{} // closed when change or err is known
	change Change
	err    error
	known  [wanted]*learned // in the order of their tags
	tooFew bool             // targets, to learn what is wanted

	mu     sync.Mutex
	claims map[string]*claim // by instance
	queue  []plan.Target     // claimed, and not begun
	left   []plan.Target     // candidates that may be claimed
}

// Reference is an image that was learned from.
type Reference struct {
	// Instance is empty where an earlier run made it.
	Instance, Tag, Digest string
}

type learned struct {
	change Change
	final  Fetched
	own    bool // this run has made it
}

// claim is what becomes of a target that is made a reference, and so is not rebased.
type claim struct {
	begun  chan struct{} // closed when the target is claimed
	made   chan struct{} // closed when it has ended
	result build.Result
	err    error

	base *baseStage // nil until it is begun
}

// baseStage is the base stage of a target that is made a reference.
type baseStage struct {
	cancel context.CancelFunc
	made   chan struct{} // closed when it has ended
	tags   []string
	err    error
}

// Find learns from what earlier runs have left, and claims targets for what that lacks. Anything wrong with an old
// reference only means that another is made.
func (r *References) Find(ctx context.Context, targets []plan.Target) {
	r.done, r.claims = make(chan struct{}), map[string]*claim{}
	for _, t := range targets {
		r.claims[t.InstanceID] = &claim{begun: make(chan struct{}), made: make(chan struct{})}
	}
	for i := 1; i <= wanted && !r.Force; i++ {
		name := at(r.Image, r.Tag(i))
		found, err := r.load(ctx, r.Tag(i))
		switch {
		case err == nil:
			r.known[i-1] = &found
			r.Learned(Reference{Tag: name, Digest: found.final.Digest})
		case !errors.Is(err, registry.ErrNotFound), errors.Is(err, errBroken):
			r.Said(fmt.Sprintf("The reference %s is not used: %v", name, err))
		}
	}
	r.tooFew = len(targets) < r.Wanting()
	r.left = Candidates(targets)
	for range r.Wanting() {
		r.claimNext()
	}
}

// Wanting is how many targets become references, if nothing fails. It is to be asked before Run.
func (r *References) Wanting() (n int) {
	for _, found := range r.known {
		if found == nil {
			n++
		}
	}
	return n
}

// Claimed is how many targets become references, if nothing fails: fewer than are wanted where there are no more. It is to
// be asked before Run, too.
func (r *References) Claimed() int { return len(r.queue) }

// AgentLayers is how many layers each rebased image gets, and OwnBuilder tells whether this run's builder made them. They
// are to be asked when an image was rebased.
func (r *References) AgentLayers() int { return len(r.change.Layers) }

// OwnBuilder is described at AgentLayers.
func (r *References) OwnBuilder() bool { return r.known[0].own && r.known[1].own }

// claimNext takes the next candidate, if there is one, from those that are to be rebased.
func (r *References) claimNext() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.left) == 0 {
		return
	}
	close(r.claims[r.left[0].InstanceID].begun)
	r.queue, r.left = append(r.queue, r.left[0]), r.left[1:]
}

// TooFew says that fewer targets are missing than are wanted as references, so that nobody learns from them. It is to be asked
// after Find.
func (r *References) TooFew() bool { return r.tooFew }

// withdraw takes a target from the candidates, because it goes its own way now, whatever that is. It is false where the
// target was claimed before.
func (r *References) withdraw(t plan.Target) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = slices.DeleteFunc(r.left, func(other plan.Target) bool { return other.InstanceID == t.InstanceID })
	select {
	case <-r.claims[t.InstanceID].begun:
		return false
	default:
		return true
	}
}

// next takes the next claimed target; there has to be one.
func (r *References) next() plan.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.queue[0]
	r.queue = r.queue[1:]
	return t
}

// claimed waits for what becomes of a target that was claimed, and tells whether it was.
func (r *References) claimed(ctx context.Context, t plan.Target) (build.Result, error, bool) {
	c := r.claims[t.InstanceID]
	select {
	case <-c.begun:
	default:
		return build.Result{}, nil, false
	}
	<-c.made // also when ctx ends: Run goes on until each claimed target has ended
	return c.result, c.err, true
}

// Change is what there is to put on an eval-base. It waits until that is known, or until the target is claimed; that
// can be asked of claimed then. Errors are a *Refusal, or a *build.Error that concerns all images.
func (r *References) Change(ctx context.Context, t plan.Target) (Change, error) {
	select {
	case <-r.done:
		return r.change, r.err
	case <-r.claims[t.InstanceID].begun:
		return Change{}, errors.New("it is a reference")
	case <-ctx.Done():
		return Change{}, &build.Error{Class: build.ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
	}
}

// Run makes the references that Find lacked when ready says that it is time, the second one when the first is past what both
// share. A candidate that fails is followed by another one.
func (r *References) Run(ctx context.Context, ready <-chan struct{}) {
	defer close(r.done)
	if r.Wanting() > 0 {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	var last error
	lessons, under := make(chan lesson, wanted), map[int]bool{}
	for tried := 0; r.Wanting() > 0; {
		may := r.Passed // the next one may begin
		switch {
		case r.Wanting() == len(under) || len(r.queue) == 0: // there is none
			may = nil
		case len(under) == 0:
			may = now
		}
		if may == nil && len(under) == 0 {
			break
		}
		select {
		case <-may:
			tried++
			t, place := r.next(), r.free(under)
			under[place] = true
			r.beginBase(ctx, t)
			go func() { lessons <- r.try(ctx, t, place) }()
			for _, next := range r.queue { // what it has of its own need not wait for what is shared
				r.beginBase(ctx, next)
			}
		case l := <-lessons:
			delete(under, l.place)
			if l.err == nil {
				r.known[l.place] = &l.learned
				continue
			}
			last = l.err
			if tried+len(r.queue) < most && !concernsAll(last) {
				r.claimNext()
			}
		}
	}
	r.change, r.err = r.conclude(ctx, last)
}

// now is for what need not be waited for.
var now = func() <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}()

// free is a reference's place that nobody has.
func (r *References) free(under map[int]bool) int {
	for place, found := range r.known {
		if found == nil && !under[place] {
			return place
		}
	}
	panic("rebase: there are more references than places")
}

// concernsAll tells a failure that every image of the run would meet.
func concernsAll(err error) bool {
	var failure *build.Error
	return errors.As(err, &failure) && (failure.Shared != "" || failure.NotTried)
}

// try makes a reference of a target that was claimed.
func (r *References) try(ctx context.Context, t plan.Target, place int) lesson {
	if err := r.build(ctx, t); err != nil {
		if base := r.claims[t.InstanceID].base; base != nil {
			base.cancel()
			<-base.made
		}
		return lesson{place: place, err: err}
	}
	return r.learn(ctx, t, place)
}

// beginBase begins a claimed target's base stage, if somebody will learn from it.
func (r *References) beginBase(ctx context.Context, t plan.Target) {
	c := r.claims[t.InstanceID]
	if c.base != nil || r.tooFew {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	base := &baseStage{cancel: cancel, made: make(chan struct{})}
	c.base = base
	go func() {
		defer close(base.made)
		defer cancel()
		made, err := r.Base.Build(ctx, t)
		base.tags, base.err = made.Tags, err
	}()
}

// build builds a target that was claimed. The error says why there is nothing to learn from it.
func (r *References) build(ctx context.Context, t plan.Target) error {
	c := r.claims[t.InstanceID]
	c.result, c.err = r.Native.Build(ctx, t)
	close(c.made)
	switch {
	case c.err != nil:
		return build.ForAll(t, c.err)
	case c.result.Skipped:
		return fmt.Errorf("%s is there already, and nobody can tell how it was made", t.InstanceID)
	case r.tooFew: // nobody will learn from it
		return errors.New("there is one target only")
	}
	return nil
}

// conclude is what the references agree on. last is why there are too few of them.
func (r *References) conclude(ctx context.Context, last error) (Change, error) {
	switch {
	case r.Wanting() == 0:
	case ctx.Err() != nil:
		return Change{}, &build.Error{Class: build.ClassCancelled, Err: fmt.Errorf("not started: %w", context.Cause(ctx))}
	case concernsAll(last):
		return Change{}, last
	case last == nil:
		return Change{}, refuse("there are not two images to learn from")
	default:
		return Change{}, refuse("there are not two images to learn from: %v", last)
	}
	first, second := r.known[0], r.known[1]
	change, err := Agree(first.change, second.change)
	var differ *LayersDiffer
	if !errors.As(err, &differ) {
		return change, err
	}
	if err := r.SameTrees(ctx, first.final, second.final, len(first.change.Layers)); err != nil {
		return Change{}, refuse("the references' agent layers are not alike: %v", err)
	}
	r.Said("The references' agent layers have equal files, but not one digest: this builder does not make the same layer twice. " +
		"Rebased images get that of the first.")
	return differ.Change, nil
}
