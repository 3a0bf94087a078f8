package build

import (
	"context"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Recorder hands every target's outcome on, whatever it was: it is the outermost builder.
type Recorder struct {
	next   Builder
	record func(Outcome)
}

// NewRecorder wraps next. record is called from many goroutines at once, as each target ends.
func NewRecorder(next Builder, record func(Outcome)) *Recorder {
	return &Recorder{next: next, record: record}
}

// Build records what next returns.
func (r *Recorder) Build(ctx context.Context, t plan.Target) (Result, error) {
	started := time.Now()
	result, err := r.next.Build(ctx, t)
	r.record(Outcome{Target: t, Result: result, Err: err, Started: started, Finished: time.Now()})
	return result, err
}
