// Package evalbase makes sure of eval-bases: a base image with the SDK's base-image-minimal stage upon it, without the
// agent. One is the same for all SDK commits whose base stage, with all that goes into it, is the same.
package evalbase

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Registry is read and written; a *registry.Client does.
type Registry interface {
	rebase.Registry
	// Digest gives the manifest digest behind a reference, or "" when the registry does not have it.
	Digest(ctx context.Context, reference string) (string, error)
	// Confirm checks that the manifest behind name:tag@digest has that digest, by a GET.
	Confirm(ctx context.Context, pinned string) error
}

// Bases finds eval-bases in Image, and makes those that are not there.
type Bases struct {
	Registry Registry
	// Image is the repository of the eval-bases.
	Image string
	// Wrapped gives a target with its wrapped base image, where it needs one, and what that took. It sees to slots and
	// further attempts.
	Wrapped func(ctx context.Context, t plan.Target) (plan.Target, build.Result, error)
	// Key is the tag of the eval-base that the SDK makes of a base image with this digest. Where the SDK does not let
	// itself be asked, the error is a *rebase.Refusal.
	Key func(ctx context.Context, baseDigest string) (string, error)
	// Make has the SDK build the eval-base of a target whose BaseImage is name@digest and whose CustomTag is the key, has
	// Checked in it, and sees to slots and further attempts.
	Make build.Builder
	// Retry gives a look-up its further attempts.
	Retry func(build.Builder) build.Builder
	// MaxAge is the age from which an eval-base is made anew; 0 is none.
	MaxAge time.Duration
	// Expected is how many targets will be asked for, at least. It is to be set before the first is.
	Expected int

	once  sync.Once
	ready chan struct{}

	mu      sync.Mutex
	makings map[string]*making // by key
	ended   int                // targets that have their answer, or whose look-up has to be made again
	first   bool               // an eval-base was made
	settled bool
	facts   Facts
}

// Facts are what the report tells of the eval-bases.
type Facts struct {
	Made, Reused int
	// Oldest is when the oldest of those reused was made; zero where none was.
	Oldest time.Time
}

// Facts are what is known so far.
func (b *Bases) Facts() Facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts
}

// Ready is closed when the first eval-base was made, or when none had to be: then the stage that all images share is in
// the builder's cache, if this run needs it, and other builds may begin.
func (b *Bases) Ready() <-chan struct{} {
	b.once.Do(func() {
		b.ready = make(chan struct{})
		if b.Expected == 0 {
			b.settled = true
			close(b.ready)
		}
	})
	return b.ready
}

// note takes down what is known of a target, and tells when it is time for other builds.
func (b *Bases) note(change func()) {
	b.Ready()
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	if (b.first || b.ended >= b.Expected) && !b.settled {
		b.settled = true
		close(b.ready)
	}
}

// Of gives the target's eval-base. Errors are a *rebase.Refusal or a *build.Error.
func (b *Bases) Of(ctx context.Context, t plan.Target) (rebase.Base, build.Result, error) {
	ended := sync.OnceFunc(func() { b.note(func() { b.ended++ }) })
	defer ended()
	wanted, wrapping, err := b.Wrapped(ctx, t)
	if err != nil {
		return rebase.Base{}, wrapping, err
	}
	var base rebase.Base
	var answer error // errMissing or a refusal, which are no failures of the look-up
	looked, err := b.Retry(build.Func(func(ctx context.Context, t plan.Target) (result build.Result, err error) {
		begin := time.Now()
		base, wanted, answer = b.look(ctx, t)
		result.Check = time.Since(begin)
		var failure *build.Error
		if errors.As(answer, &failure) {
			err = answer
			ended() // the other builds do not wait for its further attempts
		}
		return result, err
	})).Build(ctx, wanted)
	if err == nil {
		err = answer
	}
	looked.Attempts = 0 // to look is not to build
	looked = looked.After(wrapping)
	if !errors.Is(err, errMissing) {
		return base, looked, err
	}
	result, err := b.make(ctx, wanted)
	result = result.After(looked)
	if err != nil {
		return rebase.Base{}, result, err
	}
	result = build.Result{}.After(result) // what worked here is not an attempt at the image
	base, err = b.read(ctx, Tag(wanted.CustomTag))
	if err == nil {
		err = rebase.Marked(base.Manifest)
	}
	return base, result, rebase.Failed(ctx, "reading the eval-base that was made", err)
}

// making is an eval-base that this run makes, or has made.
type making struct {
	ended  chan struct{}
	result build.Result
	err    error
}

// make makes an eval-base once, whoever wants it: also for one who looked before it was there, and comes when it is.
func (b *Bases) make(ctx context.Context, wanted plan.Target) (build.Result, error) {
	b.mu.Lock()
	m, begun := b.makings[wanted.CustomTag]
	if !begun {
		if b.makings == nil {
			b.makings = map[string]*making{}
		}
		m = &making{ended: make(chan struct{})}
		b.makings[wanted.CustomTag] = m
	}
	b.mu.Unlock()
	if begun {
		<-m.ended // also when ctx ends: it ends the other's build as well
		return m.result, m.err
	}
	defer close(m.ended)
	if m.result, m.err = b.Make.Build(ctx, wanted); m.err == nil {
		b.note(func() { b.first = true; b.facts.Made++ })
	}
	return m.result, m.err
}

// errMissing says that an eval-base has to be made.
var errMissing = errors.New("there is no eval-base")

// look finds the eval-base of a target whose base image is wrapped, or says by errMissing of what it has to be made.
func (b *Bases) look(ctx context.Context, t plan.Target) (base rebase.Base, wanted plan.Target, err error) {
	wanted, err = b.named(ctx, t)
	if err != nil {
		return base, wanted, err
	}
	base, err = b.read(ctx, Tag(wanted.CustomTag))
	switch {
	case errors.Is(err, registry.ErrNotFound):
		err = errMissing
	case err != nil:
		return base, wanted, rebase.Failed(ctx, "asking for its eval-base", err)
	default:
		err = b.judge(base.Manifest)
	}
	// Until here a HEAD alone has said which base image it is. Where the eval-base is there and names that base image, a
	// build that was confirmed has made it.
	if errors.Is(err, errMissing) || rebase.BaseName(base.Manifest) != t.BaseImage {
		if wrong := b.Registry.Confirm(ctx, wanted.BaseImage); wrong != nil {
			return base, wanted, rebase.Failed(ctx, "checking the digest of the base image "+t.BaseImage, wrong)
		}
	}
	if err == nil {
		b.reuse(base)
	}
	return base, wanted, err
}

// reuse takes down an eval-base that was there.
func (b *Bases) reuse(base rebase.Base) {
	made, dated := rebase.Made(base.Manifest)
	b.note(func() {
		b.facts.Reused++
		if dated && (b.facts.Oldest.IsZero() || made.Before(b.facts.Oldest)) {
			b.facts.Oldest = made
		}
	})
}

// Tag is the tag of the eval-base with this key.
func Tag(key string) string { return "eval-base-" + key }

func (b *Bases) read(ctx context.Context, tag string) (rebase.Base, error) {
	found, err := rebase.Fetch(ctx, b.Registry, b.Image, tag)
	return rebase.Base{Fetched: found, Tag: tag}, err
}
