package report

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// pruned says what was freed of the builder's cache.
func pruned(run ledger.Run) string {
	if len(run.Pruned) == 0 {
		return ""
	}
	var freed int64
	for _, p := range run.Pruned {
		freed += p.FreedBytes
	}
	return fmt.Sprintf("\nThe builder's cache was pruned %s: %s freed.\n", plural(len(run.Pruned), "time", "times"),
		units.HumanSizeWithPrecision(float64(freed), 3))
}
