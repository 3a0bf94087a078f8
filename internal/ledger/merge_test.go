package ledger

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// leave writes what a run leaves into a folder.
func leave(t *testing.T, dir string, run Run, entries []Entry) {
	t.Helper()
	w := open(t, dir)
	for _, e := range entries {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteJSON(filepath.Join(dir, SummaryFileName), Summarize(run, entries)); err != nil {
		t.Fatal(err)
	}
}

// whole is a plan's one run; the entries tell when it built, and none of its files is named.
func whole() (Run, []Entry) {
	run := exampleRun()
	run.Shard, run.PlannedTotal, run.Phases, run.Files, run.Sdist = "", 7, run.Phases[:2], Files{}, Sdist{}
	return run, entries(outcomes())
}

// shardOfWhole is part i of n of it.
func shardOfWhole(i, n int) (Run, []Entry) {
	run, all := whole()
	run.Shard, run.Planned = Text(fmt.Sprintf("%d/%d", i, n)), 0
	if i > 1 { // the first one did it for all
		run.Rebase, run.AskedAgain = Rebase{}, nil
	}
	if n > 1 && i <= 2 {
		run.AskedAgain = map[string]int{"rate-limit": []int{10, 2}[i-1], "network": []int{0, 3}[i-1]}
	}
	var part []Entry
	for j := i - 1; j < run.PlannedTotal; j += n {
		run.Planned++
		if j < len(all) { // the last of the plan has no record
			part = append(part, all[j])
		}
	}
	return run, part
}

func merged(t *testing.T, dirs ...string) (Summary, []Entry) {
	t.Helper()
	parts, unended, err := ReadParts(dirs)
	if err != nil || len(unended) != 0 {
		t.Fatal(unended, err)
	}
	s, entries, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return s, entries
}

// Two shards merged equal one run; so do three, found below one folder, one of which ran twice, and has a copy.
func TestShardsMergedEqualOneRun(t *testing.T) {
	run, all := whole()
	want := Summarize(run, all)
	alone := t.TempDir()
	leave(t, alone, run, all)
	all, err := Read(filepath.Join(alone, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			top := t.TempDir()
			for i := 1; i <= n; i++ {
				run, part := shardOfWhole(i, n)
				leave(t, filepath.Join(top, fmt.Sprint(i), "builds", "test"), run, part)
			}
			copied, part := shardOfWhole(n, n)
			leave(t, filepath.Join(top, "copy"), copied, part)
			got, gotEntries := merged(t, top)
			but := cmp.Options{
				cmpopts.IgnoreFields(Summary{}, "ManifestFiles"), cmpopts.IgnoreFields(Run{}, "MergedFrom", "Shards"),
				cmpopts.IgnoreFields(FailedBuild{}, "Shard"),
				cmpopts.IgnoreFields(Entry{}, "Shard"),
				cmpopts.SortSlices(func(a, b Entry) bool { return a.InstanceID < b.InstanceID }),
			}
			if diff := cmp.Diff(want, got, but); diff != "" {
				t.Errorf("summary (-one run +merged):\n%s", diff)
			}
			if diff := cmp.Diff(all, gotEntries, but); diff != "" {
				t.Errorf("entries (-one run +merged):\n%s", diff)
			}
			for _, e := range gotEntries {
				planned := slices.IndexFunc(all, func(one Entry) bool { return one.InstanceID == e.InstanceID })
				if want := Text(fmt.Sprintf("%d/%d", planned%n+1, n)); e.Shard != want {
					t.Errorf("%s is of shard %s, want %s", e.InstanceID, e.Shard, want)
				}
			}
			if got.ManifestFiles != n || got.Run.MergedFrom != n {
				t.Errorf("merged from %d files, %d runs, want %d", got.ManifestFiles, got.Run.MergedFrom, n)
			}
		})
	}
}

// Records that an earlier version wrote, before they had a number, merge with new ones. testdata/no-schema has what version 8e4d2d6
// wrote.
func TestRecordsWithoutASchemaAreMerged(t *testing.T) {
	run, part := exampleRun(), []Entry{took("x__y-1", 1, 90)}
	run.Shard, run.Planned, run.Rebase = "1/3", 1, Rebase{}
	run.MissingAllowedPercent = 90 // the earlier version had no such input: any missing image failed its run
	recent := t.TempDir()
	leave(t, recent, run, part)
	s, all := merged(t, filepath.Join("testdata", "no-schema"), recent)
	counts := map[string]int{"built": s.Built, "skipped": s.Skipped, "failed": s.Failed, "cancelled": s.Cancelled, "not started": s.NotStarted}
	want := map[string]int{"built": 2, "skipped": 1, "failed": 4, "cancelled": 1, "not started": 29}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
	if s.Schema != Schema || s.Run.MissingAllowedPercent != 0 || !s.TooManyMissing() {
		t.Errorf("schema %d; %d %% may be missing", s.Schema, s.Run.MissingAllowedPercent)
	}
	earlier, _, err := ReadParts([]string{filepath.Join("testdata", "no-schema")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(earlier[0].Entries, part...), all, cmpopts.IgnoreFields(Entry{}, "Schema", "Shard"), cmpopts.SortSlices(func(a, b Entry) bool {
		return a.InstanceID < b.InstanceID
	})); diff != "" {
		t.Errorf("entries (-read +merged):\n%s", diff)
	}
	if diff := cmp.Diff(exampleRebase().normalized(), s.Run.Rebase); diff != "" {
		t.Errorf("rebases (-want +merged):\n%s", diff)
	}
}

func TestMissingShards(t *testing.T) {
	top := t.TempDir()
	for _, i := range []int{4, 2} {
		run, part := shardOfWhole(i, 5)
		leave(t, filepath.Join(top, fmt.Sprint(i)), run, part)
	}
	s, entries := merged(t, top)
	if diff := cmp.Diff([]Text{"1/5", "3/5", "5/5"}, s.Run.MissingShards); diff != "" {
		t.Error(diff)
	}
	// Parts 2 and 4 of 7 images have the 2nd, the 7th and the 4th, and the 7th has no record.
	if s.Total != 7 || len(entries) != 2 || s.NotStarted != 5 {
		t.Errorf("%d of %d images are not started, with %d entries", s.NotStarted, s.Total, len(entries))
	}
	if said := strings.Join(s.Run.Warnings, "\n"); !strings.Contains(said, "Shards 1/5, 3/5, 5/5 are missing") {
		t.Errorf("warnings are %q", said)
	}
}

// An image that is there counts as there, whichever run made it; of two equal records the later one counts.
func TestBestRecordCounts(t *testing.T) {
	failed := func(id string, end float64) Entry {
		return FromOutcome(outcomeOf(id, end, outcome.Outcome{Attempts: make([]outcome.Attempt, 1), Build: time.Second}, errors.New(fmt.Sprint("at ", end))))
	}
	run := Run{PlannedTotal: 3, Planned: 3, Started: noon}
	first, second := t.TempDir(), t.TempDir()
	leave(t, first, run, []Entry{took("built then failed", 1, 10), failed("failed then built", 11), failed("failed twice", 12)})
	run.Started = noon.Add(time.Minute)
	leave(t, second, run, []Entry{failed("built then failed", 70), took("failed then built", 1, 71), failed("failed twice", 72)})
	for _, dirs := range [][]string{{first, second}, {second, first}} {
		s, _ := merged(t, dirs...)
		if s.Total != 3 || s.Built != 2 || s.Failed != 1 || s.FailedBuilds[0].InstanceID != "failed twice" || s.FailedBuilds[0].Error != "at 72" {
			t.Errorf("merged to %d built, failed %+v", s.Built, s.FailedBuilds)
		}
	}
}

// An image that one run built and a later one found was built, unless that found another one.
func TestBuiltCountsBeforeFound(t *testing.T) {
	found := func(id, digest string) Entry {
		return FromOutcome(outcomeOf(id, 70, outcome.Outcome{Skipped: true, Tags: []string{"a:b"}, Digest: digest}, nil))
	}
	built := func(id string) Entry {
		e := took(id, 1, 10)
		e.Digest = "sha256:1"
		return e
	}
	run := Run{PlannedTotal: 2, Planned: 2, Started: noon}
	first, second := t.TempDir(), t.TempDir()
	leave(t, first, run, []Entry{built("same"), built("replaced")})
	run.Started = noon.Add(time.Minute)
	leave(t, second, run, []Entry{found("same", "sha256:1"), found("replaced", "sha256:2")})
	s, entries := merged(t, first, second)
	if s.Built != 1 || s.Skipped != 1 || entries[0].InstanceID != "same" || entries[1].Digest != "sha256:2" {
		t.Errorf("%d built, %d skipped: %+v", s.Built, s.Skipped, entries)
	}
}

// A run that stopped for its deadline, and the one that continued it, are a run that did not stop.
func TestMergeOfAContinuedRun(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	run := Run{PlannedTotal: 2, Planned: 2, Started: noon, DeadlineSeconds: 60, StoppedForDeadline: true}
	late := FromOutcome(outcomeOf("b", 60, outcome.Outcome{}, failure.TooLate(time.Second, time.Minute)))
	leave(t, first, run, []Entry{took("a", 1, 10), late})
	run.Started, run.StoppedForDeadline = noon.Add(time.Hour), false
	leave(t, second, run, []Entry{took("b", 1, 3610)})
	if s, _ := merged(t, first); !s.Run.StoppedForDeadline || s.NotStarted != 1 {
		t.Errorf("the first alone: stopped %v, %d not started", s.Run.StoppedForDeadline, s.NotStarted)
	}
	if s, _ := merged(t, first, second); s.Run.StoppedForDeadline || s.Missing() != 0 || s.Built != 2 {
		t.Errorf("both: stopped %v, %d missing, %d built", s.Run.StoppedForDeadline, s.Missing(), s.Built)
	}
}

// What ended a run of a shard does not count when a later run of the shard came further.
func TestMergeOfARepeatedShard(t *testing.T) {
	ended := Run{SetupError: "cloning failed", Cancelled: true, StoppedForDeadline: true}
	cases := []struct {
		name  string
		runs  []Run // of the second shard, one after the other
		want  Run
		setup Text
	}{
		{"repeated", []Run{ended, {}}, Run{}, ""},
		{"repeated twice", []Run{ended, ended, {}}, Run{}, ""},
		{"ended at last", []Run{{}, ended}, ended, "shard 2/3: cloning failed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			for i := range 3 {
				runs := []Run{{}}
				if i == 1 {
					runs = c.runs
				}
				for j, run := range runs {
					run.Shard, run.PlannedTotal, run.Planned, run.Started = Text(fmt.Sprintf("%d/3", i+1)), 3, 1, noon.Add(time.Duration(j)*time.Hour)
					leave(t, filepath.Join(top, fmt.Sprint(i, j)), run, []Entry{took(fmt.Sprint(i), 1, 10)})
				}
			}
			s, _ := merged(t, top)
			if s.Run.SetupError != c.setup || s.Run.Cancelled != c.want.Cancelled || s.Run.StoppedForDeadline != c.want.StoppedForDeadline {
				t.Errorf("the set-up's error is %q, cancelled %v, stopped for the deadline %v", s.Run.SetupError, s.Run.Cancelled, s.Run.StoppedForDeadline)
			}
		})
	}
}

// A shard is incomplete while images are missing, and after a run whose set-up failed, even if an earlier run has made all images.
func TestIncompleteShards(t *testing.T) {
	cases := []struct {
		name       string
		first      []Entry
		setupError Text
		want       bool
	}{
		{"all there", []Entry{took("a", 1, 10)}, "", false},
		{"one is missing", nil, "", true},
		{"all there, and the set-up failed later", []Entry{took("a", 1, 10)}, "cloning failed", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			first, second := t.TempDir(), t.TempDir()
			run := Run{Shard: "1/1", PlannedTotal: 1, Planned: 1, Started: noon}
			leave(t, first, run, c.first)
			run.Started, run.SetupError = noon.Add(time.Hour), c.setupError
			leave(t, second, run, nil)
			s, _ := merged(t, first, second)
			if len(s.Run.Shards) != 1 || s.Run.Shards[0].Incomplete() != c.want {
				t.Errorf("incomplete is not %v: %+v", c.want, s.Run.Shards)
			}
		})
	}
}

// Shards that run one after the other take the time from the first build to the last; their phases are no measure. So it is with those of
// older versions, whose phases have no start.
func TestThroughputOfShards(t *testing.T) {
	top, older := t.TempDir(), t.TempDir()
	for i := range 2 {
		begun := noon.Add(time.Duration(i) * time.Minute)
		run := Run{Shard: Text(fmt.Sprintf("%d/2", i+1)), PlannedTotal: 2, Planned: 1, Started: noon, Phases: []Phase{
			{Name: "import", Seconds: float64(5 + i), StartedAt: &begun}, {Name: BuildPhase, Seconds: 60},
		}, Beside: []Work{{InstanceID: fmt.Sprint(i)}}}
		built := []Entry{took(fmt.Sprint(i), 60, float64(60+540*i))}
		leave(t, filepath.Join(older, fmt.Sprint(i)), run, built)
		run.Phases[1].StartedAt = built[0].StartedAt
		leave(t, filepath.Join(top, fmt.Sprint(i)), run, built)
	}
	later, first := noon.Add(time.Minute), noon
	phases := []Phase{{Name: "import", Seconds: 6, StartedAt: &later}, {Name: BuildPhase, Seconds: 600, StartedAt: &first}}
	for dir, want := range map[string][]Phase{top: phases, older: phases[:1]} {
		s, _ := merged(t, dir)
		if s.BuildWallClockSeconds != 600 || s.ImagesPerHour != 12 {
			t.Errorf("%.0f images per hour over %.0f s, want 12 over 600 s", s.ImagesPerHour, s.BuildWallClockSeconds)
		}
		if diff := cmp.Diff(want, s.Run.Phases); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
	}
	s, _ := merged(t, top)
	if diff := cmp.Diff([]Work{{InstanceID: "0", Shard: "1/2"}, {InstanceID: "1", Shard: "2/2"}}, s.Run.Beside); diff != "" {
		t.Errorf("work beside images (-want +got):\n%s", diff)
	}
}

func TestWhatWentWrongInAShardIsTold(t *testing.T) {
	top := t.TempDir()
	for i := 1; i <= 2; i++ {
		run, part := shardOfWhole(i, 2)
		if i == 2 {
			run.SetupError, run.SDKSHA, part = "the registry is down", "", nil
		}
		run.Warnings = []string{"the same", fmt.Sprint("only ", i)}
		run.Sdist = Sdist{SHA256: "x"}
		leave(t, filepath.Join(top, fmt.Sprint(i)), run, part)
	}
	s, _ := merged(t, top)
	if s.Run.SetupError != "shard 2/2: the registry is down" || s.Run.SDKSHA == "" {
		t.Errorf("the set-up's error is %q, the SDK's SHA %q", s.Run.SetupError, s.Run.SDKSHA)
	}
	if diff := cmp.Diff([]string{"the same", "only 1", "only 2"}, s.Run.Warnings); diff != "" {
		t.Error(diff)
	}
	one, _ := shardOfWhole(1, 2)
	_, part := shardOfWhole(1, 2)
	if want := 1 + Summarize(one, part).SdistBuilds + 1; s.SdistBuilds != want {
		t.Errorf("%d sdist builds, want %d", s.SdistBuilds, want)
	}
}

// A merge has what any of the shards knows, whichever comes first.
func TestMergeHasTheFactsOfAllShards(t *testing.T) {
	top := t.TempDir()
	for i := 1; i <= 3; i++ {
		run, part := shardOfWhole(i, 3)
		run.Sdist = Sdist{SHA256: Text(fmt.Sprint("sdist-", i)), Seconds: []float64{2, 9, 4}[i-1]}
		run.Cancelled, run.ImageTagPrefix, run.StoppedForDeadline = i == 2, "", i == 3
		run.Pruned = slices.Repeat([]Pruning{{FreedBytes: int64(i)}}, i)
		if i == 3 {
			run.ImageTagPrefix = "prefix"
		}
		leave(t, filepath.Join(top, fmt.Sprint(i)), run, part)
	}
	s, entries := merged(t, top)
	built, skipped := 0, 0
	for i, shard := range s.Run.Shards {
		built, skipped = built+shard.Built, skipped+shard.Skipped
		if name := Text(fmt.Sprintf("%d/3", i+1)); shard.Shard != name || shard.Total == 0 {
			t.Errorf("shard %d is %+v", i+1, shard)
		}
	}
	if built != s.Built || skipped != s.Skipped || built*skipped == 0 {
		t.Errorf("shards have %d built images and %d that existed, want those of all, %d and %d of %d", built, skipped, s.Built, s.Skipped, len(entries))
	}
	if want := (Sdist{SHA256: "sdist-2", Seconds: 9}); s.Run.Sdist != want {
		t.Errorf("the sdist is %+v, want that which took longest, %+v", s.Run.Sdist, want)
	}
	if pruned := s.Run.Pruned; len(pruned) != 6 || pruned[0].FreedBytes != 1 || pruned[5].FreedBytes != 3 {
		t.Errorf("the prunes are %+v, want 1 of the first shard, 2 of the second and 3 of the third", pruned)
	}
	if !s.Run.Cancelled || !s.Run.StoppedForDeadline || s.Run.ImageTagPrefix != "prefix" {
		t.Errorf("cancelled %v, stopped for the deadline %v, prefix %q; want true, true, prefix", s.Run.Cancelled, s.Run.StoppedForDeadline, s.Run.ImageTagPrefix)
	}
}

func TestNotMergeable(t *testing.T) {
	cases := map[string]struct {
		change func(*Run)
		says   string
	}{
		"another dataset":        {func(r *Run) { r.Dataset = "x" }, `differ in dataset: "princeton-nlp/SWE-bench_Verified" and "x"`},
		"another SDK":            {func(r *Run) { r.SDKSHA = "2" }, "differ in SDK commit"},
		"another image":          {func(r *Run) { r.Image = "x" }, "differ in image"},
		"other options":          {func(r *Run) { r.Options = nil }, "differ in sdk-options"},
		"another plan":           {func(r *Run) { r.PlannedTotal = 8 }, `differ in number of images in all shards: "7" and "8"`},
		"another number of them": {func(r *Run) { r.Shard = "2/3" }, `differ in number of shards: "2" and "3"`},
		"no shard":               {func(r *Run) { r.Shard = "" }, "differ in number of shards"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			for i := 1; i <= 2; i++ {
				run, part := shardOfWhole(i, 2)
				if i == 2 {
					tc.change(&run)
				}
				leave(t, filepath.Join(top, fmt.Sprint(i)), run, part)
			}
			parts, _, err := ReadParts([]string{top})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = Merge(parts)
			var wrong *NotMergeable
			if !errors.As(err, &wrong) || !strings.Contains(wrong.Problem, tc.says) || wrong.Hint() == "" {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
		})
	}
	if _, _, err := Merge(nil); err == nil {
		t.Error("nothing was merged")
	}
}

func TestReadParts(t *testing.T) {
	top := t.TempDir()
	run, part := shardOfWhole(1, 2)
	leave(t, filepath.Join(top, "good"), run, part)
	killed := open(t, filepath.Join(top, "killed"))
	if err := killed.Append(part[0]); err != nil {
		t.Fatal(err)
	}
	run.MergedFrom = 2
	leave(t, filepath.Join(top, "merged"), run, part)
	parts, unended, err := ReadParts([]string{top})
	if err != nil || len(parts) != 1 || len(unended) != 1 || filepath.Base(parts[0].Dir) != "good" || filepath.Base(unended[0]) != "killed" {
		t.Errorf("%d parts, unended %q, error %v", len(parts), unended, err)
	}
	cases := map[string]struct {
		dirs []string
		says string
	}{
		"a folder without a run": {[]string{t.TempDir()}, "there is no build-summary.json in "},
		"the same one twice":     {[]string{top, filepath.Join(top, "good")}, "except those already found in another folder"},
		"no such folder":         {[]string{filepath.Join(top, "nothing")}, "reading " + filepath.Join(top, "nothing") + ": no such file or directory"},
	}
	broken, bare := t.TempDir(), t.TempDir()
	write(t, filepath.Join(broken, SummaryFileName), "{")
	write(t, filepath.Join(bare, SummaryFileName), "{}")
	cases["a broken summary"] = struct {
		dirs []string
		says string
	}{[]string{broken}, "unexpected end of JSON input"}
	cases["no ledger"] = struct {
		dirs []string
		says string
	}{[]string{bare}, "reading the ledger"}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := ReadParts(tc.dirs)
			var wrong *NotMergeable
			if !errors.As(err, &wrong) || !strings.Contains(wrong.Problem, tc.says) || wrong.Hint() == "" {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
		})
	}
}
