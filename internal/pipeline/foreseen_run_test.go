package pipeline

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/report"
)

// foreseen is the plan of a run, and what the plan itself asked for.
func (h *house) foreseen(t *testing.T, targets []plan.Target) report.Plan {
	t.Helper()
	r := h.newRun(t, false)
	r.targets = targets
	found, missing := build.Present(t.Context(), r.registry, targets)
	if h.config.ForceBuild {
		missing = targets
	}
	var foreseen report.Foreseen
	if len(missing) > 0 {
		foreseen = h.rebasing(t, r).foresee(t.Context(), missing)
	}
	r.facts.SDKSHA = "named"
	return report.NewPlan(r.facts, targets, found, foreseen, h.config.ForceBuild)
}

// A plan's counts are those of the run that follows.
func TestPlanComesTrue(t *testing.T) {
	h := newHouse(t)
	h.config.Verify = 1
	synctest.Test(t, func(t *testing.T) {
		for _, when := range []string{"first commit", "next commit", "forced", "again"} {
			if when == "next commit" {
				h.sha = strings.Repeat("b", 40)
			}
			h.config.ForceBuild = when == "forced"
			targets := h.targets(t, "a", "b", "c", "d", "e")
			p := h.foreseen(t, targets)
			r := h.rebase(t, true, targets)
			ways := map[string]int{}
			for _, e := range r.entries {
				ways[string(e.Strategy)]++
			}
			differ(t, when+": images rebased, built", []int{p.Work.Rebases, p.Work.Builds}, []int{ways["rebase"], ways["native"]})
			differ(t, when+": eval-bases, base stages, comparisons", []int{p.Work.EvalBases, p.Work.ReferenceBases, p.Work.VerifyBuilds},
				[]int{len(h.did("eval-base")), len(h.did("base stage")), len(h.did("comparison"))})
		}
	})
}
