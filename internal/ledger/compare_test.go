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

func TestCompare(t *testing.T) {
	lost := func(id string, class failure.Class) Entry {
		return FromOutcome(outcomeOf(id, 20, outcome.Outcome{}, &failure.Error{Class: class, Err: errors.New("x")}))
	}
	found := func(id string) Entry {
		return FromOutcome(outcomeOf(id, 20, outcome.Outcome{Skipped: true, Tags: []string{"a:b"}}, nil))
	}
	run := exampleRun()
	before := []Entry{
		took("slow", 90, 100), took("fast", 20, 100), took("jitter", 60, 100), took("lost", 5, 100), took("e", 4, 100), took("f", 3, 100), took("also-lost", 5, 100), took("little", 50, 100), took("short", 8, 100),
		lost("mended", failure.ClassBuild), lost("there", failure.ClassCancelled), lost("broken", failure.ClassNetwork), lost("slower-to-fail", failure.ClassNotStarted),
		found("cut"), found("later"), found("new"),
	}
	now := []Entry{
		took("slow", 30, 100), took("fast", 31, 100), took("jitter", 80, 100), took("e", 6, 100), took("f", 30, 100), took("mended", 20, 100), found("there"), took("little", 38, 100), took("short", 4, 100),
		lost("broken", failure.ClassTimeout), lost("lost", failure.ClassBuild), lost("also-lost", failure.ClassBuild), lost("cut", failure.ClassCancelled), lost("later", failure.ClassNotStarted),
		lost("slower-to-fail", failure.ClassBuild), took("new", 500, 600),
	}
	for _, entries := range [][]Entry{before, now} {
		for i := range entries {
			entries[i].Strategy = outcome.Native
		}
	}
	run.Planned = len(now)
	older := run
	older.Started, older.Finished, older.SDKSHA, older.URL = run.Started.Add(-time.Hour), run.Started.Add(-time.Hour+100*time.Second), "old", "https://x"
	got, err := Compare(Summarize(older, before), Summarize(run, now), now)
	if err != nil {
		t.Fatal(err)
	}
	want := &Comparison{
		StartedAt: older.Started, SDK: "old", URL: "https://x", Missing: 4, Seconds: 100,
		NewlyFailing: []string{"also-lost", "lost"}, NewlyBuilt: []string{"mended", "there"},
		Slower: []Change{{InstanceID: "fast", Before: 20, Now: 31}, {Strategy: outcome.Native, Before: 8, Now: 30}}, Faster: []Change{{InstanceID: "slow", Before: 90, Now: 30}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Nothing is known of images that the earlier run did not have, or did not come to.
func TestNewlyFailingIsWhatExistedBefore(t *testing.T) {
	failed := func(id string) Entry { return FromOutcome(outcomeOf(id, 20, outcome.Outcome{}, errors.New("x"))) }
	cases := []struct {
		name   string
		before Summary
		want   []string
	}{
		{"the same images", Summarize(Run{Planned: 3}, []Entry{took("a", 1, 10), took("b", 1, 10), failed("c")}), []string{"a", "b"}},
		{"fewer images", Summarize(Run{Planned: 2}, []Entry{took("a", 1, 10), failed("c")}), []string{"a"}},
		{"a run that failed in its set-up", Summarize(Run{Planned: 3}, nil), nil},
		{"a run that was killed", Summarize(Run{Planned: 3}, []Entry{took("b", 1, 10)}), []string{"b"}},
	}
	for _, c := range cases {
		now := []Entry{failed("a"), failed("b"), failed("c")}
		got, err := Compare(c.before, Summarize(Run{Planned: 3}, now), now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got.NewlyFailing); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRunsOfOtherPlansAreNotCompared(t *testing.T) {
	for name, other := range map[string]Run{"benchmark": {Benchmark: "x"}, "dataset": {Dataset: "x"}, "split": {Split: "x"}, "shard": {Shard: "1/2"}} {
		if c, err := Compare(Summary{Run: other}, Summary{}, nil); c != nil || err == nil || !strings.Contains(err.Error(), "the runs differ in "+name+": ") {
			t.Errorf("another %s: %v, %v", name, c, err)
		}
	}
}
