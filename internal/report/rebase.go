package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// made says how the images were made, with the times of each way. It is empty when nothing was made.
func made(s ledger.Summary) string {
	run := s.Run.Rebase
	var lines []string
	for _, way := range []struct {
		strategy ledger.Text
		name     string
	}{{outcome.Rebase, "Rebased"}, {outcome.Native, "Built natively"}} {
		if t := s.TimesByStrategy[way.strategy]; t.Images > 0 {
			times := " in " + duration(t.Max)
			if t.Images > 1 {
				times = fmt.Sprintf(", half of them within %s each, 90 %% within %s, the slowest in %s", duration(t.P50), duration(t.P90), duration(t.Max))
			}
			lines = append(lines, fmt.Sprintf("- %s: %s%s\n", way.name, plural(t.Images, "image", "images"), times))
		}
	}
	var bases string
	if run.EvalBasesMade+run.EvalBasesReused > 0 {
		bases = fmt.Sprintf("Eval-bases: %d made, %d reused", run.EvalBasesMade, run.EvalBasesReused)
		if run.OldestEvalBase != nil {
			bases += "; the oldest is " + age(s.FinishedAt.Sub(*run.OldestEvalBase)) + " old"
		}
		bases += ".\n"
	}
	return section("How the images were made", strings.Join(lines, ""), bases, verified(run), refusals(s))
}

// maxReasons limits the reasons shown. Usually many images share a few reasons, but a reason may be specific to one image.
const maxReasons = 20

// refusals lists why images could not be rebased, the most common reason first.
func refusals(s ledger.Summary) string {
	reasons := slices.SortedFunc(maps.Keys(s.Refusals), func(a, b ledger.Text) int {
		return cmp.Or(cmp.Compare(s.Refusals[b], s.Refusals[a]), cmp.Compare(a, b))
	})
	var lines []string
	for _, reason := range reasons[:min(maxReasons, len(reasons))] {
		var ids []string
		for _, id := range s.RefusedInstances[reason] {
			ids = append(ids, code(id, shortValue))
		}
		if len(ids) < s.Refusals[reason] {
			ids = append(ids, "…")
		}
		lines = append(lines, fmt.Sprintf("- %s, because %s: %s\n", plural(s.Refusals[reason], "image", "images"), text(string(reason), longValue), strings.Join(ids, ", ")))
	}
	if len(lines) == 0 {
		return ""
	}
	list := "Why not rebased:\n\n" + strings.Join(lines, "")
	if rest := len(reasons) - len(lines); rest > 0 {
		list += fmt.Sprintf("\n… and %d more reasons, see strategy_reason in %s.\n", rest, code(ledger.FileName, shortValue))
	}
	return list
}

// maxReferences limits the references shown. A run has two; a merged run may have two for each shard.
const maxReferences = 20

func references(run ledger.Rebase) string {
	var lines []string
	for i, r := range run.References {
		if i == maxReferences {
			lines = append(lines, fmt.Sprintf("- … and %d more references\n", len(run.References)-i))
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
		lines = append(lines, line+", "+how+"\n")
	}
	if run.TreesCompared {
		lines = append(lines, "\nThe references' layers have different digests but equal files: this builder's layers are not reproducible, so this run compared files.\n")
	}
	return strings.Join(lines, "")
}

// traffic counts the requests to registries and the bytes copied.
func traffic(run ledger.Rebase) string {
	var lines []string
	for _, method := range slices.Sorted(maps.Keys(run.Requests)) {
		lines = append(lines, fmt.Sprintf("%s %d", text(method, shortValue), run.Requests[method]))
	}
	var all []string
	if len(lines) > 0 {
		all = append(all, "Registry requests of this run, without those of BuildKit: "+strings.Join(lines, ", ")+".")
	}
	if run.Copied > 0 {
		all = append(all, "Copied between repositories: "+units.HumanSizeWithPrecision(float64(run.Copied), 3)+".")
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, " ") + "\n"
}

// Limits for what is shown of the comparisons. Images often differ in the same way.
const (
	maxVerified    = 5
	maxDifferences = 20
	maxTagsLeft    = 50
)

// verifyFailures counts the images that differ or could not be compared, for the verdict.
func verifyFailures(all []ledger.Verified) string {
	different, failed := 0, 0
	for _, v := range all {
		switch v.Result {
		case ledger.VerifiedOK:
		case ledger.VerifiedDifferent:
			different++
		default:
			failed++
		}
	}
	var counts []string
	if different > 0 {
		counts = append(counts, plural(different, "rebased image differs", "rebased images differ")+" from the native build")
	}
	if failed > 0 {
		counts = append(counts, plural(failed, "rebased image", "rebased images")+" could not be compared with the native build")
	}
	return fmt.Sprintf("of %s, %s", plural(len(all), "image compared", "images compared"), strings.Join(counts, ", and "))
}

// verification lists the differences between images that should be equal, and what to do.
func verification(run ledger.Run) string {
	if !run.VerifyFailed() {
		return ""
	}
	var parts []string
	bad := slices.DeleteFunc(slices.Clone(run.Rebase.Verified), func(v ledger.Verified) bool { return v.Result == ledger.VerifiedOK })
	for i, v := range bad {
		if i == maxVerified {
			parts = append(parts, fmt.Sprintf("\n… and %d more.\n", len(bad)-i))
			break
		}
		what := "differs"
		if v.Result != ledger.VerifiedDifferent {
			what = "could not be compared"
		}
		parts = append(parts, fmt.Sprintf("%s %s:\n\n%s", code(v.Instance, shortValue), what, differences(v)))
	}
	advice := "These images were not verified. Compare them with: eval-images verify IMAGE.\n"
	if slices.ContainsFunc(bad, func(v ledger.Verified) bool { return v.Result == ledger.VerifiedDifferent }) {
		advice = "Do not use the images that this run rebased until the cause is known. To replace them, run with strategy native and force-build.\n"
	}
	return section("Verification", append([]string{advice}, parts...)...)
}

func differences(v ledger.Verified) string {
	var lines []string
	for i, difference := range v.Differences {
		if i == maxDifferences {
			lines = append(lines, fmt.Sprintf("- … and %d more\n", len(v.Differences)-i))
			break
		}
		lines = append(lines, "- "+text(difference, longValue)+"\n")
	}
	if len(lines) == 0 {
		return "- unknown reason\n"
	}
	return strings.Join(lines, "")
}

// verified counts the equal images, and lists the tags of native builds that could not be deleted.
func verified(run ledger.Rebase) string {
	equal := 0
	var left []string
	for _, v := range run.Verified {
		if v.Result == ledger.VerifiedOK {
			equal++
		}
		left = append(left, v.TagsLeft...)
	}
	var note string
	if equal > 0 {
		note = fmt.Sprintf("Verified: %s.\n", plural(equal, "rebased image equals its native build", "rebased images equal their native builds"))
	}
	if len(left) > 0 {
		var tags []string
		for _, tag := range left[:min(maxTagsLeft, len(left))] {
			tags = append(tags, code(tag, shortValue))
		}
		note += fmt.Sprintf("The registry refuses to delete, so %s of these native builds %s: %s",
			plural(len(left), "tag", "tags"), map[bool]string{true: "stays", false: "stay"}[len(left) == 1], strings.Join(tags, ", "))
		if len(tags) < len(left) {
			note += ", …"
		}
		note += ". Nothing needs them: delete them in the registry.\n"
	}
	return note
}
