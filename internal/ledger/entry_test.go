package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// outcomeOf is that of a target that was handed in at noon and ended s seconds later.
func outcomeOf(instance string, s float64, o outcome.Outcome, err error) *outcome.Outcome {
	o.Target = plan.Target{InstanceID: instance, BaseImage: "docker.io/swebench/sweb.eval.x86_64." + strings.Replace(instance, "__", "_1776_", 1) + ":latest"}
	o.Err, o.Started, o.Finished = err, noon, noon.Add(time.Duration(s*float64(time.Second)))
	return &o
}

func builtResult(attempts int, took time.Duration) outcome.Outcome {
	return outcome.Outcome{
		Tags: []string{"ghcr.io/openhands/eval-agent-server:1234567-abcdef0-x-source-minimal"}, Digest: "sha256:" + strings.Repeat("a", 64),
		Strategy: "native", LogPath: "builds/logs/x.log", Attempts: make([]outcome.Attempt, attempts), Check: 250 * time.Millisecond, Build: took,
		Telemetry: map[string]float64{
			"build_context_seconds": 2.61249, "buildx_wall_clock_seconds": 45, "cleanup_seconds": 0.01, "cache_import_seconds": 0,
			"cache_import_miss_count": 2, "cache_export_seconds": 1.5, "image_export_seconds": 133.8, "push_layers_seconds": 7.25,
			"export_manifest_seconds": 0.3, "cached_step_count": 12, "something_new": 1,
		},
	}
}

// outcomes has one target of each kind.
func outcomes() []*outcome.Outcome {
	skipped := outcome.Outcome{Skipped: true, Tags: []string{"ghcr.io/openhands/eval-agent-server:1234567-abcdef0-y-source-minimal"}, Digest: "sha256:" + strings.Repeat("b", 64), Check: 120 * time.Millisecond}
	lostPush := builtResult(1, 40*time.Second)
	broken := builtResult(2, 12*time.Second)
	broken.NotRebased = "the base image has\nONBUILD instructions"
	broken.Tags, broken.SdistBuilds, broken.Waited = nil, 2, 6*time.Second
	broken.Attempts = []outcome.Attempt{
		{Err: &failure.Error{Class: failure.ClassNetwork, Err: errors.New("lookup r:\nno such host")}, Took: 5250 * time.Millisecond},
		{Err: &failure.Error{Class: failure.ClassBuild, Err: errors.New("no such base")}, Took: 7 * time.Second},
	}
	pushed := builtResult(1, 48200400*time.Microsecond)
	end := noon.Add(48450400 * time.Microsecond)
	pushed.Spans = []outcome.Span{
		{Phase: outcome.WaitingToLookUp, Begin: end.Add(-48450 * time.Millisecond)}, // too short to be recorded
		{Phase: outcome.LookUp, Slot: "look-up 3", Begin: end.Add(-48450 * time.Millisecond)},
		{Phase: outcome.WaitingToBuild, Begin: end.Add(-48250 * time.Millisecond)},
		{Phase: outcome.NativeBuild, Slot: "build 2", Begin: end.Add(-40 * time.Second)},
		{Phase: outcome.Confirm, Slot: "build 2", Begin: end.Add(-80 * time.Millisecond)},
	}
	return []*outcome.Outcome{
		outcomeOf("django__django-11333", 48.4504, pushed, nil),
		outcomeOf("django__django-11334", 1.2, skipped, nil),
		outcomeOf("astropy__astropy-12907", 60, broken, fmt.Errorf("native: %w", &failure.Error{
			Class: failure.ClassBuild, ReturnCode: 17, Tail: "#8 <none>\n\u0085bad \xff bytes\u2028\n", Err: errors.New("docker ended with 17:\nno such base\x1b[0m image"),
		})),
		outcomeOf("sphinx-doc__sphinx-8595", 40.25, lostPush, &failure.Error{Class: failure.ClassRegistry, Err: errors.New("confirming the push: gone")}),
		outcomeOf("sphinx-doc__sphinx-8600", 70, outcome.Outcome{}, &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("not started: %w", context.Canceled)}),
		outcomeOf("sphinx-doc__sphinx-8601", 5, outcome.Outcome{Attempts: make([]outcome.Attempt, 1), Build: 5 * time.Second, Telemetry: map[string]float64{"cleanup_seconds": math.NaN()}}, nil),
	}
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; run with -update to accept):\n%s", path, diff)
	}
}

func TestLedgerGolden(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes() {
		if err := w.Append(FromOutcome(o)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, FileName, text)
}

// The fields of BuildOutput (OpenHands/benchmarks, benchmarks/utils/build_utils.py) with their JSON types, in its order;
// a ? may be null. They come first in a line, whatever became of the image.
const buildOutput = `time string, base_image string, tags array, error string?, log_path string?, status string, skip_reason string?,
attempt_count integer, started_at string?, finished_at string?, duration_seconds number?, remote_check_seconds number?, build_seconds number?,
post_build_seconds number?, sdk_build_context_seconds number?, sdk_buildx_wall_clock_seconds number?, sdk_cleanup_seconds number?,
sdk_cache_import_seconds number?, sdk_cache_import_miss_count integer?, sdk_cache_export_seconds number?, sdk_image_export_seconds number?,
sdk_push_layers_seconds number?, sdk_export_manifest_seconds number?, sdk_cached_step_count integer?`

func TestFieldsOfBenchmarks(t *testing.T) {
	fields := strings.Split(strings.ReplaceAll(buildOutput, "\n", " "), ", ")
	for _, o := range outcomes() {
		t.Run(o.Target.InstanceID, func(t *testing.T) {
			line, err := encode(FromOutcome(o), "")
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(strings.NewReader(string(line)))
			decoder.UseNumber()
			decoder.Token() // {
			for _, field := range fields {
				name, kind, _ := strings.Cut(field, " ")
				key, err := decoder.Token()
				if err != nil || key != name {
					t.Fatalf("field %v, %v; want %s", key, err, name)
				}
				var value any
				if err := decoder.Decode(&value); err != nil {
					t.Fatal(err)
				}
				if got := kindOf(value); got != kind && got+"?" != kind && (got != "integer" || !strings.HasPrefix(kind, "number")) &&
					(got != "null" || !strings.HasSuffix(kind, "?")) {
					t.Errorf("%s is %s (%v), want %s", name, got, value, kind)
				}
			}
		})
	}
}

func kindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case []any:
		return "array"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	default:
		return fmt.Sprintf("%T", v)
	}
}

func TestFromOutcome(t *testing.T) {
	all := outcomes()
	cases := []struct {
		name string
		got  func(Entry) any
		of   *outcome.Outcome
		want any
	}{
		{"the wait for a slot is no work", func(e Entry) any { return e.Phases["queued"] }, all[2], 41.75},
		{"the wait between attempts is a phase of its own", func(e Entry) any { return e.Phases["backoff"] }, all[2], 6.0},
		{"and a part of the image's time", func(e Entry) any { return *e.DurationSeconds }, all[2], 18.25},
		{"work starts after the wait", func(e Entry) any { return e.StartedAt.Format("15:04:05.000") }, all[2], "12:00:41.750"},
		{"each attempt has its class", func(e Entry) any { return e.Attempts }, all[2], []Attempt{
			{Class: "network", Error: "lookup r: no such host", Seconds: 5.25}, {Class: "build-failed", Error: "no such base", Seconds: 7},
		}},
		{"what was not tried has none", func(e Entry) any { return e.Attempts }, all[4], []Attempt{}},
		{"what never started has no start", func(e Entry) any { return e.StartedAt == nil && e.DurationSeconds == nil }, all[4], true},
		{"floats have milliseconds", func(e Entry) any { return *e.BuildContextSeconds }, all[0], 2.612},
		{"a telemetry of 0 is not absent", func(e Entry) any { return *e.CacheImportSeconds }, all[0], 0.0},
		{"counts are counts", func(e Entry) any { return *e.CachedStepCount }, all[0], 12},
		{"no number is null", func(e Entry) any { return e.CleanupSeconds == nil }, all[5], true},
		{"a skip has its reason", func(e Entry) any { return e.SkipReason }, all[1], Text("remote_image_exists")},
		{"a built image has none", func(e Entry) any { return e.SkipReason }, all[0], Text("")},
		{"a return code is kept", func(e Entry) any { return *e.ErrorReturnCode }, all[2], 17},
		{"no command failed, no return code", func(e Entry) any { return e.ErrorReturnCode == nil }, all[3], true},
		{"a wrapped class is found", func(e Entry) any { return e.ErrorClass }, all[2], Text("build-failed")},
		{"an error is one line", func(e Entry) any { return e.Error }, all[2], Text("native: docker ended with 17: no such base[0m image")},
		{"a failed target names no tags", func(e Entry) any { return len(e.Tags) == 0 && e.Digest == "" }, all[3], true},
		{"no error and no tags is a failure", func(e Entry) any { return e.Status }, all[5], outcome.Failed},
		{"and says why", func(e Entry) any { return e.Error }, all[5], Text("the build succeeded but returned no tags")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got(FromOutcome(c.of))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The runner finds no command in an error, which OpenHands/benchmarks prints as it is.
func TestErrorsHaveNoCommands(t *testing.T) {
	cases := map[string]string{
		"::error::boo":                   "| ::error::boo",
		"\n \t::error::boo":              "| ::error::boo",
		"\u200b::error::boo":             "| ::error::boo",
		" \ufe0f\u00ad ::error::boo":     "| ::error::boo",
		"x ##[error]boo":                 "x # #[error]boo",
		"x #\u200b#[error]boo":           "x # #[error]boo",
		"a::b":                           "a::b",
		"one\x00\r\ntwo\u2028 three\x1b": "one two three",
	}
	for text, want := range cases {
		if got := FromOutcome(outcomeOf("a__b-1", 1, outcome.Outcome{}, errors.New(text))).Error; string(got) != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	long := FromOutcome(outcomeOf("a__b-1", 1, outcome.Outcome{}, errors.New("::"+strings.Repeat("x", 2*maxError)))).Error
	if len(long) > maxError || !strings.HasPrefix(string(long), "| ::") {
		t.Errorf("%d bytes, which begin with %q", len(long), long[:10])
	}
}

func TestErrorOutputIsBounded(t *testing.T) {
	tail := strings.Repeat("ä", maxErrorOutput) + "the end"
	e := FromOutcome(outcomeOf("a__b-1", 1, outcome.Outcome{}, &failure.Error{Tail: tail, Err: errors.New("x")}))
	got := string(e.ErrorOutput)
	if len(got) > maxErrorOutput || !strings.HasSuffix(got, "the end") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes from %q to %q", len(got), got[:4], got[len(got)-8:])
	}
}
