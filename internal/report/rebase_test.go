package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

func rebasedImage(instance string) *outcome.Outcome {
	return ended(instance, outcome.Outcome{
		Tags: []string{tag(instance)}, Digest: "sha256:" + strings.Repeat("f", 64), Strategy: outcome.Rebase, Attempts: make([]outcome.Attempt, 1), Build: 1400 * time.Millisecond,
	}, nil)
}

// refused is an image that was built natively because it could not be rebased.
func refused(instance, reason string) *outcome.Outcome {
	o := built(instance, 50)
	o.NotRebased = reason
	return o
}

const reference = "ghcr.io/openhands/eval-agent-server:reference-" + sha + "-5f5f5f5f5f5f-"

func rebasedRun() ledger.Summary {
	run, old := exampleRun(12), noon.Add(-300*time.Hour)
	run.Strategy, run.AskedAgain = "auto", map[string]int{"network": 3, "rate-limit": 12}
	run.Rebase = ledger.Rebase{
		EvalBasesMade: 3, EvalBasesReused: 8, OldestEvalBase: &old,
		References: []ledger.Reference{
			{Tag: reference + "1", Digest: "sha256:1", Reused: true}, {Instance: "sympy__sympy-20154", Tag: reference + "2", Digest: "sha256:2"},
		},
		Verified: []ledger.Verified{{Instance: "a__b-1", Result: ledger.VerifiedOK, Tags: []string{"r/i:verify-1", "r/i:verify-2"}, TagsLeft: []string{"r/i:verify-1", "r/i:verify-2"}}},
		Requests: map[string]int{"PUT": 24, "GET": 25, "HEAD": 31}, Copied: 1234567890,
	}
	outcomes := []*outcome.Outcome{built("sympy__sympy-20154", 64), skipped("a__b-0")}
	for i := range 6 {
		outcomes = append(outcomes, rebasedImage(fmt.Sprint("a__b-", i+1)))
	}
	for i := range 3 {
		outcomes = append(outcomes, refused(fmt.Sprint("c__d-", i+1), "the base image has ONBUILD instructions"))
	}
	return ledger.Summarize(run, entries(append(outcomes, refused("e__f-1", "the base image has /agent-server already"))))
}

func differentRun() ledger.Summary {
	run := exampleRun(2)
	run.Strategy = "rebase"
	run.Rebase = ledger.Rebase{
		EvalBasesReused: 2, References: []ledger.Reference{{Tag: reference + "1", Reused: true}, {Tag: reference + "2"}}, TreesCompared: true,
		Verified: []ledger.Verified{
			{Instance: "a__b-1", Result: ledger.VerifiedDifferent, Differences: []string{"config: env PATH is \"/a\", natively \"/b\"", "/etc/passwd: mode 0600, natively 0644"}},
			{Instance: "a__b-2", Result: ledger.VerifiedOK},
			{Instance: "a__b-3", Result: ledger.VerifiedDifferent},
			{Instance: "a__b-4", Result: ledger.VerifiedFailed, Differences: []string{"building it natively: docker ended with 1"}, TagsLeft: []string{"r/i:verify-1"}},
		},
	}
	return ledger.Summarize(run, entries([]*outcome.Outcome{built("django__django-11333", 48.2), rebasedImage("a__b-1")}))
}

// An image that could not be compared may be as good as the others.
func TestAdviceOnVerification(t *testing.T) {
	cases := map[ledger.Verdict]string{ledger.VerifiedDifferent: "Do not use", ledger.VerifiedFailed: "These images were not verified", ledger.VerifiedOK: ""}
	for result, want := range cases {
		got := verification(ledger.Run{Rebase: ledger.Rebase{Verified: []ledger.Verified{{Result: result}}}})
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q in it", result, got, want)
		}
	}
}

// However much comes together, a runner takes the summary.
func TestMarkdownOfARebaseFits(t *testing.T) {
	const many = 100
	long := strings.Repeat("<|>", 500)
	run := exampleRun(many)
	var outcomes []*outcome.Outcome
	for i := range many {
		id := fmt.Sprint(i, long)
		run.Rebase.References = append(run.Rebase.References, ledger.Reference{Instance: ledger.Text(id), Tag: id})
		v := ledger.Verified{Instance: id, Result: ledger.VerifiedDifferent}
		for range many {
			v.Differences, v.TagsLeft = append(v.Differences, long), append(v.TagsLeft, long)
		}
		run.Rebase.Verified = append(run.Rebase.Verified, v)
		for range 6 {
			outcomes = append(outcomes, refused(id, id))
		}
		run.Warnings = append(run.Warnings, long)
	}
	got := Markdown(ledger.Summarize(run, entries(outcomes)), nil, nil)
	if len(got) > maxMarkdown {
		t.Errorf("%d bytes", len(got))
	}
	for _, note := range []string{"… and 80 more reasons", "… and 80 more references", "… and 95 more.", "… and 80 more\n", "10000 tags"} {
		if !strings.Contains(got, note) {
			t.Errorf("the summary does not say %q", note)
		}
	}
}

func TestAge(t *testing.T) {
	cases := map[time.Duration]string{
		-time.Second: "0.0s", 90 * time.Second: "1m 30s", 119 * time.Minute: "1h 59m 00s", 47*time.Hour + 59*time.Minute: "47 hours", 49 * time.Hour: "2 days",
		30 * 24 * time.Hour: "30 days",
	}
	for d, want := range cases {
		if got := age(d); got != want {
			t.Errorf("age of %v is %q, want %q", d, got, want)
		}
	}
}
