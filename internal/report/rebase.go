package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// ofThemRebased is what a count of built images has behind it.
func ofThemRebased(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of them rebased)", n)
}

// rebased tells how the images were made, where not all of them were simply built.
func rebased(s ledger.Summary) string {
	run := s.Run.Rebase
	counted := s.Strategies[outcome.Rebase] + run.EvalBasesMade + run.EvalBasesReused
	if counted+len(run.References)+len(run.Verified)+len(s.Refusals) == 0 {
		return ""
	}
	header := []string{"Rebased", "Built natively", "Eval-bases made", "Eval-bases reused"}
	row := []string{
		fmt.Sprint(s.Strategies[outcome.Rebase]), fmt.Sprint(s.Strategies[outcome.Native]),
		fmt.Sprint(run.EvalBasesMade), fmt.Sprint(run.EvalBasesReused),
	}
	if run.OldestEvalBase != nil {
		header, row = append(header, "Age of the oldest"), append(row, age(s.FinishedAt.Sub(*run.OldestEvalBase)))
	}
	return section("How the images were made", table(header, [][]string{row}), refusals(s), references(run), verified(run), traffic(run))
}

// age is how people say how old something is, in the largest unit that makes sense.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return duration(max(0, d).Seconds())
	}
}

// maxReasons bounds the reasons shown: a few are common to many images, but one may name what a single image has.
const maxReasons = 20

// refusals says why images could not be rebased, the most common reason first.
func refusals(s ledger.Summary) string {
	reasons := slices.SortedFunc(maps.Keys(s.Refusals), func(a, b ledger.Text) int {
		return cmp.Or(cmp.Compare(s.Refusals[b], s.Refusals[a]), cmp.Compare(a, b))
	})
	var rows [][]string
	for _, reason := range reasons[:min(maxReasons, len(reasons))] {
		var some []string
		for _, id := range s.RefusedInstances[reason] {
			some = append(some, code(id, shortValue))
		}
		if len(some) < s.Refusals[reason] {
			some = append(some, "…")
		}
		rows = append(rows, []string{text(string(reason), longValue), fmt.Sprint(s.Refusals[reason]), strings.Join(some, ", ")})
	}
	shown := table([]string{"Why not rebased", "Images", "Which"}, rows)
	if rest := len(reasons) - len(rows); rest > 0 {
		shown += fmt.Sprintf("\n… and %d more reasons, see strategy_reason in %s.\n", rest, code(cmp.Or(string(s.Run.Files.Ledger), ledger.FileName), shortValue))
	}
	return shown
}

// maxReferences bounds the references shown; a run has two, and a merge those of shards that ran at once.
const maxReferences = 20

func references(run ledger.Rebase) string {
	var said []string
	for i, r := range run.References {
		if i == maxReferences {
			said = append(said, fmt.Sprintf("- … and %d more references\n", len(run.References)-i))
			break
		}
		line := "- Reference " + code(r.Tag, shortValue)
		if r.Instance != "" {
			line += " of " + code(string(r.Instance), shortValue)
		}
		how := "built in this run"
		if r.Reused {
			how = "reused"
		}
		said = append(said, line+", "+how+"\n")
	}
	if run.TreesCompared {
		said = append(said, "\nThe references' layers have different digests and equal files: this builder's layers are not reproducible, so their files were compared.\n")
	}
	return strings.Join(said, "")
}

// traffic is what the run itself asked of registries.
func traffic(run ledger.Rebase) string {
	var said []string
	for _, method := range slices.Sorted(maps.Keys(run.Requests)) {
		said = append(said, fmt.Sprintf("%s %d", text(method, shortValue), run.Requests[method]))
	}
	var all []string
	if len(said) > 0 {
		all = append(all, "Requests of this run to registries, without the builder's: "+strings.Join(said, ", ")+".")
	}
	if run.Copied > 0 {
		all = append(all, "Copied between repositories: "+units.HumanSizeWithPrecision(float64(run.Copied), 3)+".")
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, " ") + "\n"
}
