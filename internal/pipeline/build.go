package pipeline

import (
	"context"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// build makes what is missing. From the inside out: the SDK's build, before it the wrap of a base image that needs one, a
// look whether the push arrived, a look whether it is needed, a slot, further attempts, a guard against what fails for
// all, and a record of however it ended. refusal is why none of them can be rebased, where that was asked for.
func (r *run) build(ctx context.Context, pool *sdk.Pool, missing []plan.Target, refusal string) {
	vanguard := build.NewVanguard()
	c := r.newChain(pool)
	b := vanguard.Wrap(c.retry(c.slotted(vanguard.Inside(c.whole(vanguard)))))
	b = build.NewRecorder(b, func(outcome build.Outcome) {
		outcome.Result.Refusal = refusal
		r.record(outcome)
		r.finished(ctx)
	})
	r.expect(len(missing))
	r.phase("build", func() error {
		vanguard.Ahead(ctx, b, missing)
		return nil
	})
	r.watched().wait()
}

// ownStages are the stages that fail for one image alone. Without the Dockerfile none is known, and each image meets the
// failure of a shared stage by itself.
func (r *run) ownStages() []string {
	dockerfile, err := r.checkout.Dockerfile()
	if err != nil {
		r.warn("A failure of a stage that all images share cannot be told from another: " + err.Error())
	}
	return native.OwnStages(dockerfile)
}

// askedAgain parts the targets of which the registry did not say whether they exist, but may when it is asked again, from
// the outcomes that are final. The question comes again with each attempt at a build. A refusal is asked again, too: others
// were answered, or it would have ended the run.
func askedAgain(done []build.Outcome, maxRetries int) (again []plan.Target, final []build.Outcome) {
	for _, outcome := range done {
		refused := build.ClassOf(outcome.Err) == build.ClassAuth
		if build.Paused(outcome.Err) || maxRetries > 0 && (refused || build.Retryable(outcome.Err)) {
			again = append(again, outcome.Target)
		} else {
			final = append(final, outcome)
		}
	}
	return again, final
}
