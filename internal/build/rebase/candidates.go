package rebase

import (
	"slices"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Candidates orders targets by how well they serve as references: the first one, then the one whose base image is named
// most unlike it (another repository, so mostly another environment), then the others. One change is learned from both, so
// the less they have in common, the less it can hide. Bases that have to be wrapped first come last.
func Candidates(targets []plan.Target) []plan.Target {
	ordered := slices.Clone(targets)
	slices.SortStableFunc(ordered, func(a, b plan.Target) int { return wrapped(a) - wrapped(b) })
	if len(ordered) < wanted {
		return ordered
	}
	first, unlike := ordered[0], 1
	for i := 2; i < len(ordered); i++ {
		if wrapped(ordered[i]) == wrapped(ordered[unlike]) && common(first, ordered[i]) < common(first, ordered[unlike]) {
			unlike = i
		}
	}
	second := ordered[unlike]
	return slices.Concat([]plan.Target{first, second}, slices.Delete(ordered[1:], unlike-1, unlike))
}

func wrapped(t plan.Target) int {
	if t.Wrap == "" {
		return 0
	}
	return 1
}

// common is how long the names of two base images are the same.
func common(a, b plan.Target) int {
	n := 0
	for n < min(len(a.BaseImage), len(b.BaseImage)) && a.BaseImage[n] == b.BaseImage[n] {
		n++
	}
	return n
}
