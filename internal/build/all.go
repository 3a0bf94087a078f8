package build

import (
	"context"
	"sync"

	"github.com/OpenHands/eval-images/internal/plan"
)

// All builds every target and returns when each has ended. One failure never stops the others: what failed is known
// to the recorder, and only the end of ctx keeps targets from being tried.
func All(ctx context.Context, b Builder, targets []plan.Target) {
	var ended sync.WaitGroup
	for _, t := range targets {
		ended.Go(func() { b.Build(ctx, t) })
	}
	ended.Wait()
}
