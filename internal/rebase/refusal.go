package rebase

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Refusal is the error for an image that cannot be rebased, or cannot be a reference. It has to be built natively.
type Refusal struct {
	// Reason names the field and says why. It goes into ledger and summary.
	Reason string
}

func (r *Refusal) Error() string { return "cannot be rebased: " + r.Reason }

// maxReason limits a reason, in bytes. Images decide what is in it: names of fields, values, annotations.
const maxReason = 500

func refuse(format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "..."
	}
	return &Refusal{Reason: strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, reason)}
}

// LayersDiffer is the error for two references whose agent layers have different digests. Either the builder does not make
// layers reproducibly, or the layers contain different files. Comparing the file trees tells which.
type LayersDiffer struct {
	// First and Second are the agent layers of the two references.
	First, Second []Layer
	// Delta is what the references have in common, with the layers of the first. It can be used if the file trees are equal.
	Delta Delta
}

func (e *LayersDiffer) Error() string {
	return fmt.Sprintf("the two references have different agent layers: %s and %s", digests(e.First), digests(e.Second))
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
