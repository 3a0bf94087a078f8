package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// Merge merges the runs of one plan's shards, in any order, into the summary and entries of a single run. A shard may have run
// more than once: of each instance, a success counts before a failure, and a later entry before an earlier one. A cancel, a
// deadline and a failed set-up count in the last run of each shard only. The entries are in the order in which they ended. The
// error is a *NotMergeable.
func Merge(parts []Part) (Summary, []Entry, error) {
	if len(parts) == 0 {
		return Summary{}, nil, &NotMergeable{"there is no run to merge", "give the build-dir folders of the shards' runs"}
	}
	parts = slices.SortedFunc(slices.Values(parts), func(a, b Part) int {
		return cmp.Or(cmp.Compare(shardOf(a).index, shardOf(b).index),
			a.Summary.StartedAt.Compare(b.Summary.StartedAt), cmp.Compare(a.Dir, b.Dir))
	})
	for _, part := range parts[1:] {
		if err := checkSamePlan(parts[0], part); err != nil {
			return Summary{}, nil, err
		}
	}
	entries := bestEntries(parts)
	summary := Summarize(mergeRuns(parts), entries)
	summary.ManifestFiles = len(parts)
	summary.Run.Shards = shardsOf(parts, entries)
	// Each run built a source distribution of its own.
	summary.SdistBuilds = 0
	for _, part := range parts {
		summary.SdistBuilds += part.Summary.SdistBuilds
	}
	return summary, entries, nil
}

// shardNumber is the number of a shard and the number of all shards.
type shardNumber struct{ index, count int }

// maxShards is the limit of the input shard.
const maxShards = 1000

func shardOf(p Part) shardNumber {
	var s shardNumber
	if n, _ := fmt.Sscanf(string(p.Summary.Run.Shard), "%d/%d", &s.index, &s.count); n != 2 || s.index < 1 || s.index > s.count || s.count > maxShards {
		return shardNumber{1, 1}
	}
	return s
}

// checkSamePlan returns an error when the runs are not shards of one plan. It ignores facts that one of the runs does not have.
func checkSamePlan(a, b Part) error {
	x, y := a.Summary.Run, b.Summary.Run
	for _, fact := range []struct{ name, one, other string }{
		{"benchmark", x.Benchmark, y.Benchmark},
		{"dataset", x.Dataset, y.Dataset},
		{"split", x.Split, y.Split},
		{"image", x.Image, y.Image},
		{"SDK commit", string(x.SDKSHA), string(y.SDKSHA)},
		{"tag prefix", string(x.ImageTagPrefix), string(y.ImageTagPrefix)},
		{"number of shards", fmt.Sprint(shardOf(a).count), fmt.Sprint(shardOf(b).count)},
		{"number of images in all shards", numberOrEmpty(x.PlannedTotal), numberOrEmpty(y.PlannedTotal)},
	} {
		if fact.one != fact.other && fact.one != "" && fact.other != "" {
			return &NotMergeable{
				fmt.Sprintf("the runs in %s and %s differ in %s: %q and %q", a.Dir, b.Dir, fact.name, fact.one, fact.other),
				"merge only shards that ran with the same inputs, except shard",
			}
		}
	}
	if !maps.Equal(x.Options, y.Options) {
		return &NotMergeable{fmt.Sprintf("the runs in %s and %s differ in sdk-options", a.Dir, b.Dir), "merge only shards that ran with the same inputs, except shard"}
	}
	return nil
}

func numberOrEmpty(n int) string {
	if n == 0 { // the run ended before it knew the number
		return ""
	}
	return fmt.Sprint(n)
}

// mergeRuns merges the facts of the parts' runs.
func mergeRuns(parts []Part) Run {
	run := parts[0].Summary.Run
	run.Shard, run.MergedFrom, run.MissingShards = "", len(parts), missingShards(parts)
	run.Sdist, run.Files, run.Phases, run.Warnings, run.Beside = Sdist{}, Files{}, nil, nil, nil
	run.SetupError, run.Cancelled, run.StoppedForDeadline = "", false, false
	run.Rebase, run.RecordErrors, run.AskedAgain, run.Pruned = Rebase{}, nil, nil, nil
	run.Shards, run.URL, run.Artifact = nil, "", ""
	longest := map[string]Phase{}
	var names, setupErrors []string
	for i, part := range parts {
		one := part.Summary.Run
		if i+1 == len(parts) || shardOf(parts[i+1]) != shardOf(part) { // a later run of the shard may have mended what ended this one
			run.Cancelled = run.Cancelled || one.Cancelled
			run.StoppedForDeadline = run.StoppedForDeadline || one.StoppedForDeadline
			if one.SetupError != "" {
				setupErrors = append(setupErrors, fmt.Sprintf("shard %s: %s", cmp.Or(one.Shard, "1/1"), one.SetupError))
			}
		}
		run.PlannedTotal = max(run.PlannedTotal, one.PlannedTotal)
		run.SDKSHA, run.SDKVersion = cmp.Or(run.SDKSHA, one.SDKSHA), cmp.Or(run.SDKVersion, one.SDKVersion)
		run.Seam = cmp.Or(run.Seam, one.Seam)
		run.URL = cmp.Or(one.URL, run.URL) // shards mostly are jobs of one workflow run
		run.ImageTagPrefix = cmp.Or(run.ImageTagPrefix, one.ImageTagPrefix)
		run.Started, run.Finished = earlier(run.Started, one.Started), later(run.Finished, one.Finished)
		run.MissingAllowedPercent = min(run.MissingAllowedPercent, one.MissingAllowedPercent)
		run.Rebase = run.Rebase.plus(one.Rebase)
		run.Pruned = append(run.Pruned, one.Pruned...)
		if one.Sdist.SHA256 != "" && one.Sdist.Seconds >= run.Sdist.Seconds {
			run.Sdist = Sdist{SHA256: one.Sdist.SHA256, Seconds: one.Sdist.Seconds}
		}
		if one.EvalEnv != nil { // only the first shard makes environments, and its latest run counts
			run.EvalEnv = one.EvalEnv
		}
		for class, n := range one.AskedAgain {
			if run.AskedAgain == nil {
				run.AskedAgain = map[string]int{}
			}
			run.AskedAgain[class] += n
		}
		for _, p := range one.Phases {
			if _, known := longest[p.Name]; !known {
				names = append(names, p.Name)
			}
			if p.Seconds >= longest[p.Name].Seconds {
				longest[p.Name] = p
			}
		}
		for _, w := range one.Beside {
			w.Shard = one.Shard
			run.Beside = append(run.Beside, w)
		}
		for _, warning := range one.Warnings {
			if !slices.Contains(run.Warnings, warning) {
				run.Warnings = append(run.Warnings, warning)
			}
		}
		for _, lost := range one.RecordErrors { // a warning only: the merge writes these files again
			run.Warnings = append(run.Warnings, fmt.Sprintf("The record of shard %s is incomplete: %s", cmp.Or(one.Shard, "1/1"), lost))
		}
	}
	for _, name := range names {
		if name != BuildPhase {
			run.Phases = append(run.Phases, longest[name])
		}
	}
	if build, known := buildOf(parts); known {
		run.Phases = append(run.Phases, build)
	}
	run.Planned, run.SetupError = run.PlannedTotal, Text(strings.Join(setupErrors, "\n"))
	if len(run.MissingShards) > 0 {
		run.Warnings = append(run.Warnings, missingWarning(run.MissingShards))
	}
	return run
}

// buildOf is the phase from the first build of the parts to the end of the last, because the runs overlap in time. It is not known of
// the records of older versions, whose phases have no start.
func buildOf(parts []Part) (build Phase, known bool) {
	var begin, end time.Time
	for _, part := range parts {
		for _, p := range part.Summary.Run.Phases {
			if p.Name != BuildPhase {
				continue
			}
			if p.StartedAt == nil {
				return build, false
			}
			begin, end = earlier(begin, *p.StartedAt), later(end, p.End())
		}
	}
	return Phase{Name: BuildPhase, StartedAt: &begin, Seconds: end.Sub(begin).Seconds()}, !begin.IsZero()
}

func missingShards(parts []Part) []Text {
	count := shardOf(parts[0]).count
	var shards []Text
	for i := 1; i <= count; i++ {
		if !slices.ContainsFunc(parts, func(p Part) bool { return shardOf(p).index == i }) {
			shards = append(shards, Text(fmt.Sprintf("%d/%d", i, count)))
		}
	}
	return shards
}

func missingWarning(shards []Text) string {
	names := make([]string, len(shards))
	for i, s := range shards {
		names[i] = string(s)
	}
	if len(names) == 1 {
		return "Shard " + names[0] + " is missing: its images count as not started."
	}
	return "Shards " + strings.Join(names, ", ") + " are missing: their images count as not started."
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// better reports whether e counts instead of the other entry of the same instance.
func (e Entry) better(other Entry) bool {
	if succeeded := e.Status != outcome.Failed; succeeded != (other.Status != outcome.Failed) {
		return succeeded
	}
	if e.Digest != "" && e.Digest == other.Digest && e.Status != other.Status { // a later run found what an earlier one built
		return e.Status == outcome.Built
	}
	return endTime(e).After(endTime(other))
}

func compareIDs(a, b Entry) int { return strings.Compare(a.InstanceID, b.InstanceID) }

// bestEntries returns the entry that counts of each instance, in the order in which they ended.
func bestEntries(parts []Part) []Entry {
	chosen := map[string]Entry{}
	for _, part := range parts {
		for _, e := range part.Entries {
			e.Shard = part.Summary.Run.Shard
			if old, found := chosen[e.InstanceID]; !found || e.better(old) {
				chosen[e.InstanceID] = e
			}
		}
	}
	return slices.SortedFunc(maps.Values(chosen), func(a, b Entry) int {
		return cmp.Or(endTime(a).Compare(endTime(b)), compareIDs(a, b))
	})
}

func endTime(e Entry) time.Time {
	if e.FinishedAt != nil {
		return *e.FinishedAt
	}
	return e.Time
}
