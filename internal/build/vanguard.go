package build

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Vanguard keeps what fails for all images from being met by each of them. Until one image has got past the stages which
// all share, nothing proves that they can be built: a failure there, after its attempts, is then the failure of every
// target that comes after, and those are not tried.
type Vanguard struct {
	settled chan struct{} // closed when there is nothing more to learn

	mu     sync.Mutex
	proved bool
	broken error // the first failure of something shared, while nothing was proved

	turn   chan struct{} // holds one value while a target goes alone through OneByOne
	failed int           // targets that failed alone in OneByOne; to be used with the turn
}

// NewVanguard makes one that knows nothing yet.
func NewVanguard() *Vanguard {
	return &Vanguard{settled: make(chan struct{}), turn: make(chan struct{}, 1)}
}

// Wrap is v's part that belongs outside of the Retrier: it does not build what is known to be in vain, and learns from
// what is built.
func (v *Vanguard) Wrap(next Builder) Builder {
	return Func(func(ctx context.Context, t plan.Target) (Result, error) {
		if err := v.inVain(); err != nil {
			return Result{}, err
		}
		result, err := next.Build(ctx, t)
		v.learn(t, result, err)
		return result, err
	})
}

// Inside is v's part that belongs inside of the Limiter: a target that waited for a slot looks again before it begins.
func (v *Vanguard) Inside(next Builder) Builder {
	return Func(func(ctx context.Context, t plan.Target) (Result, error) {
		if err := v.inVain(); err != nil {
			return Result{}, err
		}
		return next.Build(ctx, t)
	})
}

// Passed says that a build which is still under way has got past all that images share: the others need not wait for what
// it does alone, packing its layers and pushing them.
func (v *Vanguard) Passed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.prove()
}

// Settled is closed as soon as there is nothing more to learn by trying one image alone.
func (v *Vanguard) Settled() <-chan struct{} { return v.settled }

// Broken is why no further target is tried, or nil.
func (v *Vanguard) Broken() error { return v.inVain() }

func (v *Vanguard) isSettled() bool {
	select {
	case <-v.settled:
		return true
	default:
		return false
	}
}

func (v *Vanguard) inVain() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.proved { // by another that was under way when something shared failed
		return nil
	}
	return v.broken
}

func (v *Vanguard) learn(t plan.Target, result Result, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var failure *Error
	switch {
	case err == nil && !result.Skipped: // An image that was there already proves nothing of this builder.
		v.prove()
	case !v.proved && v.broken == nil && errors.As(err, &failure) && failure.Shared != "":
		v.broken = ForAll(t, err)
		v.settle()
	}
}

// ForAll is the failure of t as it is the other targets', who share what failed. One that is t's own stays what it is.
func ForAll(t plan.Target, err error) error {
	var failure *Error
	if !errors.As(err, &failure) || failure.Shared == "" || failure.NotTried {
		return err
	}
	return &Error{Class: ClassShared, Shared: failure.Shared, NotTried: true, Err: fmt.Errorf(
		"not tried: %s failed in %s, which all images share (%s)", t.InstanceID, failure.Shared, failure.Class)}
}

// prove and settle are to be called with the lock.
func (v *Vanguard) prove() {
	v.proved = true
	v.settle()
}

func (v *Vanguard) settle() {
	if !v.isSettled() {
		close(v.settled)
	}
}

// mostAlone is how many targets may fail alone, for reasons of their own, before the others go together nevertheless.
// Where every base image is missing, or a registry is down, hundreds would wait for each other's back-off otherwise.
const mostAlone = 3

// Ahead builds the targets like All, but each of the first alone, until one of them has settled what v wants to know or
// has ended. b is what v's parts are in.
func (v *Vanguard) Ahead(ctx context.Context, b Builder, targets []plan.Target) {
	var alone sync.WaitGroup
	defer alone.Wait()
	for failed := 0; len(targets) > 0 && failed < mostAlone && !v.isSettled(); targets = targets[1:] {
		first, ended := targets[0], make(chan error, 1)
		alone.Go(func() {
			_, err := b.Build(ctx, first)
			ended <- err
		})
		select {
		case err := <-ended:
			if err != nil {
				failed++
			}
		case <-v.settled:
			if v.Broken() != nil { // the reason comes before those that were not tried for it
				<-ended
			}
		}
	}
	All(ctx, b, targets)
}

// OneByOne lets the targets that come by go on to next one at a time, for as long as Ahead would have them go alone.
func (v *Vanguard) OneByOne(next Builder) Builder {
	return Func(func(ctx context.Context, t plan.Target) (Result, error) {
		select {
		case <-v.settled:
			return next.Build(ctx, t)
		case <-ctx.Done():
			return Result{}, notStarted(ctx)
		case v.turn <- struct{}{}:
		}
		if v.isSettled() || v.failed >= mostAlone {
			<-v.turn
			return next.Build(ctx, t)
		}
		defer func() { <-v.turn }()
		result, err := next.Build(ctx, t)
		if err != nil {
			v.failed++
		}
		return result, err
	})
}
