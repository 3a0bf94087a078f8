package build

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Vanguard keeps what fails for all images from being met by each of them. It belongs outside of the Retrier, and has a
// part that belongs inside of the Limiter. Until one image is built, nothing proves that the stages which all share can
// be: a failure there, after its attempts, is then the failure of every target that comes after, and those are not tried.
type Vanguard struct {
	next Builder

	mu     sync.Mutex
	proved bool
	broken error // the first failure of something shared, while nothing was proved
}

// NewVanguard makes one; Wrap says what it builds with.
func NewVanguard() *Vanguard { return &Vanguard{} }

// Wrap sets what v builds with, of which Inside is a part, and gives v.
func (v *Vanguard) Wrap(next Builder) *Vanguard {
	v.next = next
	return v
}

// Build builds, unless it is known to be in vain.
func (v *Vanguard) Build(ctx context.Context, t plan.Target) (Result, error) {
	if err := v.inVain(); err != nil {
		return Result{}, err
	}
	result, err := v.next.Build(ctx, t)
	v.learn(t, result, err)
	return result, err
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

// Settled tells whether there is nothing more to learn by trying one image alone.
func (v *Vanguard) Settled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.proved || v.broken != nil
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
		v.proved = true
	case !v.proved && v.broken == nil && errors.As(err, &failure) && failure.Shared != "":
		v.broken = &Error{Class: ClassShared, Shared: failure.Shared, NotTried: true, Err: fmt.Errorf(
			"not tried: %s failed in %s, which all images share (%s)", t.InstanceID, failure.Shared, failure.Class)}
	}
}

// mostAlone is how many targets may fail alone, for reasons of their own, before the others go together nevertheless.
// Where every base image is missing, or a registry is down, hundreds would wait for each other's back-off otherwise.
const mostAlone = 3

// Ahead builds the targets like All, but each of the first alone until it has ended, its further attempts included,
// until one of them has settled what v wants to know. b is what v is a part of.
func (v *Vanguard) Ahead(ctx context.Context, b Builder, targets []plan.Target) {
	for failed := 0; len(targets) > 0 && failed < mostAlone && !v.Settled(); targets = targets[1:] {
		if _, err := b.Build(ctx, targets[0]); err != nil {
			failed++
		}
	}
	All(ctx, b, targets)
}
