package ledger

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/outcome"
)

func exampleRebase() Rebase {
	old := noon.Add(-72*time.Hour + 123456*time.Nanosecond)
	return Rebase{
		EvalBasesMade: 2, EvalBasesReused: 5, OldestEvalBase: &old,
		References: []Reference{
			{Instance: "django__django-11333", Tag: "r/i:reference-1111-a-1", Digest: "sha256:1"},
			{Tag: "r/i:reference-1111-a-2", Digest: "sha256:2", Reused: true},
		},
		Verified: []Verified{{Instance: "django__django-11334", Result: VerifiedDifferent, Differences: []string{"env HOME"}, Tags: []string{"r/i:v"}}},
		Requests: map[string]int{"GET": 10, "PUT": 12}, Copied: 1 << 30,
	}
}

// made is an image that ended well or not, by a strategy, and refused for a reason or not.
func made(id, strategy, refusal string, failed bool) Entry {
	r, err := outcome.Outcome{Tags: []string{"a:b"}, Attempts: make([]outcome.Attempt, 1), Strategy: strategy, NotRebased: refusal}, error(nil)
	if failed {
		err = errors.New("x")
	}
	return FromOutcome(outcomeOf(id, 1, r, err))
}

func TestStrategiesAreCounted(t *testing.T) {
	many := []Entry{
		made("a", "rebase", "", false), made("b", "rebase", "", false), made("c", "native", "", false), made("d", "native", "ONBUILD", false),
		made("e", "rebase", "", true), made("f", "native", "ONBUILD", true),
	}
	for i := 9; i > 0; i-- {
		many = append(many, made(fmt.Sprint("g", i), "native", "a file\nat /agent-server", false))
	}
	s := Summarize(Run{}, many)
	cases := []struct {
		name      string
		got, want any
	}{
		{"built images by strategy", s.Strategies, map[Text]int{"rebase": 2, "native": 11}},
		{"refusals, of failed images too", s.Refusals, map[Text]int{"ONBUILD": 2, "a file at /agent-server": 9}},
		{"some of them, sorted", s.RefusedInstances, map[Text][]string{"ONBUILD": {"d", "f"}, "a file at /agent-server": {"g1", "g2", "g3", "g4", "g5"}}},
		{"made both ways", s.StrategyUsed(), "mixed"},
		{"all but references rebased", Summarize(Run{}, many[:3]).StrategyUsed(), "rebase"},
		{"none rebased", Summarize(Run{}, many[2:4]).StrategyUsed(), "native"},
		{"nothing built", Summarize(Run{}, many[4:6]).StrategyUsed(), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVerifyFailed(t *testing.T) {
	ok, different, failed := Verified{Result: VerifiedOK}, Verified{Result: VerifiedDifferent}, Verified{Result: VerifiedFailed}
	cases := []struct {
		name     string
		verified []Verified
		want     bool
	}{
		{"none", nil, false},
		{"equal", []Verified{ok, ok}, false},
		{"one is different", []Verified{ok, different, ok}, true},
		{"one could not be compared", []Verified{ok, failed}, true},
		{"no result", []Verified{{}}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := (Run{Rebase: Rebase{Verified: c.verified}}).VerifyFailed(); got != c.want {
				t.Errorf("failed is %v", got)
			}
		})
	}
}

// What shards did for their rebases adds up. Each one here has built one reference that the other one found, and there is a third one.
func TestRebasesAddUp(t *testing.T) {
	older := noon.Add(-100 * time.Hour)
	second := Rebase{
		EvalBasesMade: 1, EvalBasesReused: 1, OldestEvalBase: &older, TreesCompared: true,
		References: []Reference{
			{Tag: "r/i:reference-1111-a-1", Digest: "sha256:1", Reused: true},
			{Instance: "sympy__sympy-1", Tag: "r/i:reference-1111-a-2", Digest: "sha256:2"},
			{Tag: "r/i:reference-1111-a-2", Digest: "sha256:other"},
		},
		Verified: []Verified{{Instance: "django__django-11334", Result: VerifiedOK}, {Instance: "sympy__sympy-1", Result: VerifiedOK}},
		Requests: map[string]int{"PUT": 1, "HEAD": 3}, Copied: 5,
	}
	want := Rebase{
		EvalBasesMade: 3, EvalBasesReused: 6, OldestEvalBase: &older, TreesCompared: true,
		References: []Reference{
			{Instance: "django__django-11333", Tag: "r/i:reference-1111-a-1", Digest: "sha256:1"},
			{Instance: "sympy__sympy-1", Tag: "r/i:reference-1111-a-2", Digest: "sha256:2"},
			{Tag: "r/i:reference-1111-a-2", Digest: "sha256:other"},
		},
		Verified: second.Verified, Requests: map[string]int{"GET": 10, "PUT": 13, "HEAD": 3}, Copied: 1<<30 + 5,
	}
	if diff := cmp.Diff(want, exampleRebase().plus(second)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	example := exampleRebase().normalized()
	for name, sum := range map[string]Rebase{"before": Rebase{}.plus(example), "after": example.plus(Rebase{})} {
		if diff := cmp.Diff(example, sum); diff != "" {
			t.Errorf("a run without rebases %s (-want +got)\n%s", name, diff)
		}
	}
}
