package build

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Registry answers whether an image is there.
type Registry interface {
	// Present reports the digest on which all references are. It is not present when one of them is missing, or
	// when they are on different digests. An answer that is neither yes nor no (429, 5xx, a time-out) is an error.
	Present(ctx context.Context, references []string) (digest string, present bool, err error)
}

// Skipper builds only what the registry does not have.
type Skipper struct {
	next     Builder
	registry Registry
}

// NewSkipper wraps next.
func NewSkipper(next Builder, registry Registry) *Skipper {
	return &Skipper{next: next, registry: registry}
}

// Build asks the registry first. It is asked anew at each call: another run may have pushed the image since.
func (s *Skipper) Build(ctx context.Context, t plan.Target) (Result, error) {
	found, present, err := check(ctx, s.registry, t)
	if err != nil || present {
		return found, err
	}
	result, err := s.next.Build(ctx, t)
	result.Check += found.Check
	return result, err
}

func check(ctx context.Context, registry Registry, t plan.Target) (Result, bool, error) {
	begin := time.Now()
	digest, present, err := registry.Present(ctx, t.Tags)
	result := Result{Check: time.Since(begin)}
	if err != nil {
		if ctx.Err() != nil {
			return result, false, notStarted(ctx)
		}
		return result, false, Unanswered("asking the registry whether the image exists", err)
	}
	if present {
		result.Skipped, result.Tags, result.Digest = true, t.Tags, digest
	}
	return result, present, nil
}

// Unanswered is a question to the registry that got no yes or no, or a write that it did not take.
func Unanswered(doing string, err error) error {
	failed := &Error{Class: Classify(err.Error(), ClassRegistry), Err: fmt.Errorf("%s: %w", doing, err)}
	var asks interface {
		RetryAfter() time.Duration
		Waited() time.Duration
	}
	if errors.As(err, &asks) {
		failed.RetryAfter, failed.Waited = asks.RetryAfter(), asks.Waited()
		if failed.Class == ClassAuth { // "forbidden, for now"
			failed.Class = ClassRateLimit
		}
	}
	return failed
}

// checksAtOnce bounds the registry questions under way; they are small, and a registry answers many at once.
const checksAtOnce = 16

// Present asks the registry for all targets at once. It gives the outcome of each target that needs no build, and
// the targets that do, in their order. A target of which the registry did not say whether it exists has failed: to
// build it could overwrite what is there, to skip it could leave a hole.
func Present(ctx context.Context, registry Registry, targets []plan.Target) (done []Outcome, missing []plan.Target) {
	type answer struct {
		outcome Outcome
		missing bool
	}
	answers := make([]answer, len(targets))
	slots := semaphore.NewWeighted(checksAtOnce)
	var asked sync.WaitGroup
	for i, t := range targets {
		asked.Go(func() {
			outcome := Outcome{Target: t, Started: time.Now()}
			var present bool
			if err := slots.Acquire(ctx, 1); err != nil {
				outcome.Err = notStarted(ctx)
			} else {
				outcome.Result, present, outcome.Err = check(ctx, registry, t)
				slots.Release(1)
			}
			outcome.Finished = time.Now()
			answers[i] = answer{outcome, !present && outcome.Err == nil}
		})
	}
	asked.Wait()
	for _, a := range answers {
		if a.missing {
			missing = append(missing, a.outcome.Target)
		} else {
			done = append(done, a.outcome)
		}
	}
	return done, missing
}
