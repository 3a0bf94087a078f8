package report

import (
	"strings"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Work is what is left to do, if nothing fails. An image of which the registry did not say whether it is there counts
// only when builds are forced: else a run asks again.
type Work struct {
	// Builds are the images that the SDK builds, references among them.
	Builds int `json:"builds"`
	// ReferenceBases are the base stages that references are compared with, one build each.
	ReferenceBases int `json:"reference_bases"`
	// EvalBases are those that have to be made, one build each.
	EvalBases int `json:"eval_bases"`
	// Rebases are the images that are rebased.
	Rebases int `json:"rebases"`
	// VerifyBuilds are native builds of images that are rebased too.
	VerifyBuilds int `json:"verify_builds"`
	// Unknown are missing images of which it is not known how they would be made.
	Unknown int `json:"unknown"`
}

// count adds an image of a run's targets to the plan.
func (p *Plan) count(image PlannedImage) {
	if p.Work == nil {
		return
	}
	switch {
	case image.Problem != "":
		p.Unknown++
	case *image.Present:
		p.Present++
	}
	switch plan.How(image.How) {
	case plan.AsReference:
		p.Work.ReferenceBases++
		p.Work.Builds++
	case plan.Natively:
		p.Work.Builds++
	case plan.ByRebase:
		p.Work.Rebases++
	case plan.Unknown:
		p.Work.Unknown++
	}
}

// missingEvalBases counts the eval-bases that have to be made; images may share one.
func missingEvalBases(decisions plan.Decisions) int {
	unmade := map[string]bool{}
	for _, m := range decisions.Images {
		if m.Missing {
			unmade[m.EvalBase] = true
		}
	}
	return len(unmade)
}

// list is the work in words.
func (w Work) list() string {
	all := []string{plural(w.Builds, "build", "builds")}
	for _, more := range []struct {
		n         int
		one, many string
	}{
		{w.ReferenceBases, "base stage of a reference", "base stages of references"},
		{w.EvalBases, "eval-base", "eval-bases"},
		{w.Rebases, "rebase", "rebases"},
		{w.VerifyBuilds, "build to compare with", "builds to compare with"},
	} {
		if more.n > 0 {
			all = append(all, plural(more.n, more.one, more.many))
		}
	}
	return strings.Join(all, ", ")
}
