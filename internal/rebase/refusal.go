package rebase

import (
	"fmt"
	"slices"
)

// Refusal is an image that cannot be rebased, or be learned from: it must be built natively.
type Refusal struct {
	// Reason says why, for ledger and summary, and names the field.
	Reason string
}

func (r *Refusal) Error() string { return "cannot be rebased: " + r.Reason }

func refuse(format string, args ...any) error { return &Refusal{Reason: fmt.Sprintf(format, args...)} }

// LayersDiffer says that two references do not have the same agent layers by digest: their builder does not make layers
// reproducibly, or they hold other files. Only their trees can tell.
type LayersDiffer struct {
	// First and Second are the agent layers of the two.
	First, Second []Layer
	// Delta is what both agree on in all else, with the layers of the first. It is good where the trees are equal.
	Delta Delta
}

func (e *LayersDiffer) Error() string {
	return fmt.Sprintf("the two references have unlike agent layers: %s and %s", digests(e.First), digests(e.Second))
}

func digests(layers []Layer) []string {
	var all []string
	for _, l := range layers {
		all = append(all, l.Digest)
	}
	return all
}

func sameLayers(a, b []Layer) bool {
	return slices.EqualFunc(a, b, func(x, y Layer) bool { return x.Digest == y.Digest && x.DiffID == y.DiffID })
}
