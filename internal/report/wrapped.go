package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// wrapped says how many base images were wrapped with what.
func wrapped(counts map[ledger.Text]int) string {
	var said []string
	for _, requirements := range slices.Sorted(maps.Keys(counts)) {
		said = append(said, fmt.Sprintf("%d with %s", counts[requirements], code(string(requirements), shortValue)))
	}
	return strings.Join(said, ", ")
}
