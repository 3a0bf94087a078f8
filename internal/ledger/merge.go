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

// Merge adds up the runs of the shards of one plan, in any order, as if one run had had them all: each instance counts
// once, by its best and then its latest record. A shard may have run more than once. The entries are in the order in which
// they ended. The error is a *NotMergeable.
func Merge(parts []Part) (Summary, []Entry, error) {
	if len(parts) == 0 {
		return Summary{}, nil, &NotMergeable{"there is no run to merge", "name folders that runs of the shards have left"}
	}
	parts = slices.SortedFunc(slices.Values(parts), func(a, b Part) int {
		return cmp.Or(cmp.Compare(shardOf(a).index, shardOf(b).index),
			a.Summary.StartedAt.Compare(b.Summary.StartedAt), cmp.Compare(a.Dir, b.Dir))
	})
	for _, part := range parts[1:] {
		if err := sameRun(parts[0], part); err != nil {
			return Summary{}, nil, err
		}
	}
	entries := best(parts)
	summary := Summarize(together(parts), entries)
	summary.ManifestFiles = len(parts)
	// Each run made a source distribution of its own.
	summary.SdistBuilds = 0
	for _, part := range parts {
		summary.SdistBuilds += part.Summary.SdistBuilds
	}
	return summary, entries, nil
}

// shardNumber is a shard's number, and how many there are.
type shardNumber struct{ index, count int }

func shardOf(p Part) shardNumber {
	var s shardNumber
	if n, _ := fmt.Sscanf(string(p.Summary.Run.Shard), "%d/%d", &s.index, &s.count); n != 2 {
		return shardNumber{1, 1}
	}
	return s
}

// sameRun refuses runs that are no parts of one plan. What a run did not come to know, it does not differ in.
func sameRun(a, b Part) error {
	x, y := a.Summary.Run, b.Summary.Run
	for _, fact := range []struct{ name, one, other string }{
		{"benchmark", x.Benchmark, y.Benchmark},
		{"dataset", x.Dataset, y.Dataset},
		{"split", x.Split, y.Split},
		{"image", x.Image, y.Image},
		{"SDK commit", string(x.SDKSHA), string(y.SDKSHA)},
		{"tags' prefix", string(x.ImageTagPrefix), string(y.ImageTagPrefix)},
		{"number of shards", fmt.Sprint(shardOf(a).count), fmt.Sprint(shardOf(b).count)},
		{"number of images in all shards", counted(x.PlannedTotal), counted(y.PlannedTotal)},
	} {
		if fact.one != fact.other && fact.one != "" && fact.other != "" {
			return &NotMergeable{
				fmt.Sprintf("the runs in %s and %s differ in %s: %q and %q", a.Dir, b.Dir, fact.name, fact.one, fact.other),
				"merge the shards of one run only, with the same inputs but for shard",
			}
		}
	}
	if !maps.Equal(x.Options, y.Options) {
		return &NotMergeable{fmt.Sprintf("the runs in %s and %s differ in sdk-options", a.Dir, b.Dir), "merge the shards of one run only"}
	}
	return nil
}

func counted(n int) string {
	if n == 0 { // a run that did not get so far as to know
		return ""
	}
	return fmt.Sprint(n)
}

// together makes one run's facts of those of its parts.
func together(parts []Part) Run {
	run := parts[0].Summary.Run
	run.Shard, run.MergedFrom, run.MissingShards = "", len(parts), missing(parts)
	run.Sdist, run.Files, run.Phases, run.Warnings, run.SetupError, run.Cancelled = Sdist{}, Files{}, nil, nil, "", false
	run.Rebase, run.RecordErrors = Rebase{}, nil
	longest := map[string]float64{}
	var names, faults []string
	for _, part := range parts {
		one := part.Summary.Run
		run.PlannedTotal = max(run.PlannedTotal, one.PlannedTotal)
		run.SDKSHA, run.SDKVersion = cmp.Or(run.SDKSHA, one.SDKSHA), cmp.Or(run.SDKVersion, one.SDKVersion)
		run.Seam = cmp.Or(run.Seam, one.Seam)
		run.ImageTagPrefix = cmp.Or(run.ImageTagPrefix, one.ImageTagPrefix)
		run.Started, run.Finished = earlier(run.Started, one.Started), later(run.Finished, one.Finished)
		run.Cancelled = run.Cancelled || one.Cancelled
		run.Rebase = run.Rebase.plus(one.Rebase)
		for _, p := range one.Phases {
			if _, known := longest[p.Name]; !known {
				names = append(names, p.Name)
			}
			longest[p.Name] = max(longest[p.Name], p.Seconds)
		}
		for _, warning := range one.Warnings {
			if !slices.Contains(run.Warnings, warning) {
				run.Warnings = append(run.Warnings, warning)
			}
		}
		for _, lost := range one.RecordErrors { // what it lacks is missing from the entries, or made anew by the merge
			run.Warnings = append(run.Warnings, fmt.Sprintf("The record of shard %s is incomplete: %s", cmp.Or(one.Shard, "1/1"), lost))
		}
		if one.SetupError != "" {
			faults = append(faults, fmt.Sprintf("shard %s: %s", cmp.Or(one.Shard, "1/1"), one.SetupError))
		}
	}
	for _, name := range names {
		if name != BuildPhase { // runs at once overlap: the entries tell from when to when images were built
			run.Phases = append(run.Phases, Phase{Name: name, Seconds: longest[name]})
		}
	}
	run.Planned, run.SetupError = run.PlannedTotal, Text(strings.Join(faults, "\n"))
	if len(run.MissingShards) > 0 {
		run.Warnings = append(run.Warnings, missingWarning(run.MissingShards))
	}
	return run
}

func missing(parts []Part) []Text {
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

// better reports whether e counts rather than the other record of its instance.
func (e Entry) better(other Entry) bool {
	if there := e.Status != outcome.Failed; there != (other.Status != outcome.Failed) {
		return there
	}
	return ended(e).After(ended(other))
}

func compareIDs(a, b Entry) int { return strings.Compare(a.InstanceID, b.InstanceID) }
