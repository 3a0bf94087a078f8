package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

func entries(outcomes []*outcome.Outcome) []Entry {
	made := make([]Entry, len(outcomes))
	for i, o := range outcomes {
		made[i] = FromOutcome(o)
	}
	return made
}

func exampleRun() Run {
	return Run{
		Title: "SWE-Bench image build", Benchmark: "swebench", Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test",
		InstancesFrom: "the hub's parquet files", Shard: "2/3", PlannedTotal: 36,
		SDKRepository: "https://github.com/OpenHands/software-agent-sdk.git", SDKRef: "v1.58.2", SDKSHA: Text(strings.Repeat("1", 40)),
		SDKVersion: "1.58.2", Seam: "intercept", Strategy: "native", Image: "ghcr.io/openhands/eval-agent-server", ImageTagPrefix: "1111111-abcdef0",
		Builder: "lab", CacheMode: "off", Workers: 2, Options: map[string]string{"install_acp_providers": ""},
		Sdist:   Sdist{SHA256: Text(strings.Repeat("c", 64)), Seconds: 2.6},
		Phases:  []Phase{{Name: "checkout", Seconds: 3}, {Name: "sdist", Seconds: 2.6}, {Name: BuildPhase, Seconds: 72}},
		Started: noon.Add(-time.Minute), Finished: noon.Add(80 * time.Second), Planned: 7,
		AskedAgain: map[string]int{"rate-limit": 12, "network": 3}, Rebase: exampleRebase(),
		Files: Files{Ledger: "builds/x/manifest.jsonl", Summary: "builds/x/build-summary.json"},
	}
}

func TestSummaryGolden(t *testing.T) {
	text, err := encode(Summarize(exampleRun(), entries(outcomes())), "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, SummaryFileName, append(text, '\n'))
}

// took is a built image that took s seconds, ending after end seconds.
func took(id string, s, end float64) Entry {
	return FromOutcome(outcomeOf(id, end, outcome.Outcome{Tags: []string{"a:b"}, Attempts: make([]outcome.Attempt, 1), Build: time.Duration(s * float64(time.Second))}, nil))
}

func TestSummarize(t *testing.T) {
	example := Summarize(exampleRun(), entries(outcomes()))
	ten := []Entry{}
	for i := range 10 {
		ten = append(ten, took(strings.Repeat("x", i+1), float64(10-i), 20))
	}
	var many []Entry
	for range 433 {
		many = append(many, FromOutcome(outcomes()[1]))
	}
	cutOff := Summarize(Run{Cancelled: true, Planned: 9}, []Entry{took("a", 30, 40), took("b", 10, 70), FromOutcome(outcomes()[4])})
	atDeadline := Summarize(Run{StoppedForDeadline: true, Planned: 4}, []Entry{
		took("a", 30, 40), FromOutcome(outcomeOf("b", 70, outcome.Outcome{}, failure.TooLate(time.Minute, time.Hour))),
		FromOutcome(outcomeOf("c", 70, outcome.Outcome{}, &failure.Error{Class: failure.ClassDeadline, Err: failure.ErrDeadline})),
	})
	cases := []struct {
		name      string
		got, want any
	}{
		{"what the deadline stopped has failed, the rest was not started", []int{atDeadline.Built, atDeadline.Failed, atDeadline.NotStarted}, []int{1, 1, 2}},
		{"both are listed", len(atDeadline.FailedBuilds), 2},
		{"and counted by class", atDeadline.FailuresByClass, map[failure.Class]int{failure.ClassDeadline: 1, failure.ClassNotStarted: 1}},
		{"all that is not there is missing", atDeadline.Missing(), 3},
		{"total is what was asked for", example.Total, 7},
		{"no record, not started", example.NotStarted, 1},
		{"failed has the cancelled", []int{example.Built, example.Skipped, example.Failed, example.Cancelled}, []int{1, 1, 4, 1}},
		{"retried", example.Retried, 1},
		{"classes", example.FailuresByClass, map[failure.Class]int{failure.ClassBuild: 1, failure.ClassRegistry: 1, failure.ClassCancelled: 1, failure.ClassUnknown: 1}},
		{"throughput counts built images in the build phase", example.ImagesPerHour, 50.0},
		{"the run's sdist and the images' own", example.SdistBuilds, 3},
		{"failures are sorted", example.FailedBuilds[0].InstanceID, "astropy__astropy-12907"},
		{"odd median", *Summarize(Run{}, ten[:3]).MedianBuildSeconds, 9.0},
		{"even median", *Summarize(Run{}, ten).MedianBuildSeconds, 5.5},
		{"percentiles", Summarize(Run{}, ten).BuildPercentiles, map[string]float64{"p50": 5, "p90": 9, "p99": 10}},
		{"the slowest come first, five of them", Summarize(Run{}, ten).SlowestBuilds[0].DurationSeconds, 10.0},
		{"five", len(Summarize(Run{}, ten).SlowestBuilds), 5},
		{"skipped images are no throughput", Summarize(Run{Phases: []Phase{{Name: BuildPhase, Seconds: 3600}}}, append(many, ten...)).ImagesPerHour, 10.0},
		{"skipped images have no build times", Summarize(Run{}, many).MedianBuildSeconds == nil, true},
		{"nothing built, no throughput", Summarize(Run{}, many).ImagesPerHour, 0.0},
		{"cut off in the build phase: first start to last end", cutOff.BuildWallClockSeconds, 60.0},
		{"cut off: throughput", cutOff.ImagesPerHour, 120.0},
		{"cut off: without a record", cutOff.NotStarted, 6},
		{"sums have no binary dust", Summarize(Run{}, many).Totals.RemoteCheckSeconds, 51.96},
		{"a failed sdist was a run of uv too", Summarize(Run{Sdist: Sdist{Error: "x"}}, nil).SdistBuilds, 1},
		{"no list is null in JSON", Summarize(Run{}, nil).Run, Run{
			Options: map[string]string{}, Phases: []Phase{}, Beside: []Work{}, Warnings: []string{}, Pruned: []Pruning{}, MissingShards: []Text{}, RecordErrors: []string{},
			Rebase: Rebase{References: []Reference{}, Verified: []Verified{}, Requests: map[string]int{}},
		}},
		{"seconds have milliseconds", Summarize(Run{Phases: []Phase{{Name: "x", Seconds: 1.23456}}}, nil).Run.Phases[0].Seconds, 1.235},
		{"nothing at all", Summarize(Run{}, nil).Total, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// More than the allowed percentage has to be missing.
// Each sum is that of its own figure, over all images.
func TestTotals(t *testing.T) {
	figure := func(n float64) *float64 { return &n }
	e := took("a", 1, 20)
	e.DurationSeconds, e.RemoteCheckSeconds, e.BuildSeconds, e.PostBuildSeconds = figure(1), figure(2), figure(3), figure(4)
	steps, misses := 14, 13
	e.Telemetry = Telemetry{
		BuildContextSeconds: figure(5), BuildxWallClockSeconds: figure(6), CleanupSeconds: figure(7), CacheImportSeconds: figure(8),
		CacheExportSeconds: figure(9), ImageExportSeconds: figure(10), PushLayersSeconds: figure(11), ExportManifestSeconds: figure(12),
		CacheImportMissCount: &misses, CachedStepCount: &steps,
	}
	want := Totals{
		DurationSeconds: 2, RemoteCheckSeconds: 4, BuildSeconds: 6, PostBuildSeconds: 8, SDKBuildContextSeconds: 10,
		SDKBuildxWallClockSeconds: 12, SDKCleanupSeconds: 14, SDKCacheImportSeconds: 16, SDKCacheExportSeconds: 18,
		SDKImageExportSeconds: 20, SDKPushLayersSeconds: 22, SDKExportManifestSeconds: 24, SDKCacheImportMisses: 26, SDKCachedSteps: 28,
	}
	if diff := cmp.Diff(want, totals([]Entry{e, e, {}})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTooManyMissing(t *testing.T) {
	cases := []struct {
		allowed, missing, total int
		want                    bool
	}{
		{0, 0, 500, false},
		{0, 1, 500, true},
		{5, 25, 500, false},
		{5, 26, 500, true},
		{33, 1, 3, true},
		{34, 1, 3, false},
		{99, 500, 500, true},
		{100, 500, 500, false},
		{0, 0, 0, false},
	}
	for _, c := range cases {
		s := Summarize(Run{Planned: c.total, MissingAllowedPercent: c.allowed}, nil)
		s.NotStarted = c.missing
		if got := s.TooManyMissing(); got != c.want {
			t.Errorf("%d of %d missing, %d %% allowed: %v", c.missing, c.total, c.allowed, got)
		}
	}
}

// TestWrapped counts what this run built upon a wrapped base: of an image that was there it knows nothing.
// Each of these alone fails a run.
func TestFails(t *testing.T) {
	cases := map[string]struct {
		s    Summary
		want bool
	}{
		"nothing":                  {Summary{Total: 2}, false},
		"a missing image":          {Summary{Total: 2, Failed: 1}, true},
		"one that did not start":   {Summary{Total: 2, NotStarted: 1}, true},
		"a missing environment":    {Summary{Total: 2, Run: Run{EvalEnv: &EvalEnv{Planned: 1}}}, true},
		"a different image":        {Summary{Total: 2, Run: Run{Rebase: Rebase{Verified: []Verified{{Result: VerifiedDifferent}}}}}, true},
		"a kill":                   {Summary{Total: 2, Run: Run{Killed: true}}, true},
		"a set-up that failed":     {Summary{Run: Run{SetupError: "x", MissingAllowedPercent: 100}}, true},
		"a record that lacks some": {Summary{Total: 2, Run: Run{RecordErrors: []string{"x"}}}, true},
	}
	for name, c := range cases {
		if got := c.s.Fails(); got != c.want {
			t.Errorf("%s: fails is %v", name, got)
		}
	}
}

func TestWrapped(t *testing.T) {
	const requirements = "docutils<0.21 roman"
	made := outcome.Outcome{Tags: []string{"a:b"}, Attempts: make([]outcome.Attempt, 1), Build: time.Second}
	there := outcome.Outcome{Tags: []string{"a:b"}, Skipped: true}
	cases := []struct {
		name   string
		wrap   string
		result outcome.Outcome
		err    error
		want   Text
	}{
		{"built", requirements, made, nil, requirements},
		{"built, with nothing to wrap", "", made, nil, ""},
		{"there already", requirements, there, nil, ""},
		{"failed", requirements, made, errors.New("x"), ""},
	}
	var entries []Entry
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := outcomeOf("a__a-1", 1, c.result, c.err)
			o.Target.PipRequirements = c.wrap
			entry := FromOutcome(o)
			if entry.Wrapped != c.want {
				t.Errorf("wrapped is %q, want %q", entry.Wrapped, c.want)
			}
			entries = append(entries, entry, entry)
		})
	}
	if diff := cmp.Diff(map[Text]int{requirements: 2}, Summarize(Run{}, entries).Wrapped); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}
