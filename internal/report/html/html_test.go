package html

import (
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// The page says what the step summary says, in its words: verdict, times, what limited the run, and what was not started. A browser
// looks at the rest in the lab.
func TestPageSaysWhatTheSummarySays(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	entry := func(id string, status outcome.Status, class string, attempts int) ledger.Entry {
		return ledger.Entry{
			InstanceID: id, Status: status, ErrorClass: ledger.Text(class), AttemptCount: attempts,
			Spans: []ledger.Span{{Phase: outcome.WaitingForDelta, StartedAt: noon, Seconds: 60}},
		}
	}
	entries := []ledger.Entry{
		entry("made", outcome.Built, "", 1), entry("lost", outcome.Failed, "network", 2), entry("cut", outcome.Failed, "cancelled", 1), entry("later", outcome.Failed, "cancelled", 0),
	}
	s := ledger.Summarize(ledger.Run{
		Started: noon, Finished: noon.Add(65 * time.Second), Planned: 4, Cancelled: true,
		Phases: []ledger.Phase{{Name: ledger.BuildPhase, StartedAt: &noon, Seconds: 65}},
	}, entries)
	var page strings.Builder
	if err := Write(&page, s, entries, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<h1 class="bad">⚠️ Cancelled after 1m 05s: 3 of 4 images are missing: 1 cancelled, 1 network, 1 not started</h1>`,
		"<p>Images waited for the references for 92 % of the build: a builder that keeps", `<h3>network <span class="count">1</span></h3>`,
		`>cancelled</span>`, `>not started</span>`,
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page.String(), `<div class="group">`); n != 1 {
		t.Errorf("%d groups of failures, want 1: what a cancel cut off has not failed", n)
	}
}

// What decides on the verdict beside the images is on the page, escaped like everything else.
func TestPageShowsTheProblems(t *testing.T) {
	s := ledger.Summarize(ledger.Run{
		Warnings: []string{"the hub did not answer", "<script>alert(1)</script>"}, RecordErrors: []string{"writing images.lock.json: no space left on device\nhint: free disk space"},
		EvalEnv: &ledger.EvalEnv{Planned: 2, Problem: "the engine does not answer", Images: []ledger.EvalEnvImage{
			{Name: "exec.base", Status: outcome.Built}, {Name: "exec.env.a", Status: outcome.Failed, Class: "build-failed", Error: "exit code: 7"},
		}},
		Rebase: ledger.Rebase{Verified: []ledger.Verified{
			{Instance: "a__a-1", Result: ledger.VerifiedOK},
			{Instance: "b__b-1", Result: ledger.VerifiedDifferent, Differences: []string{"env HOME", "env PATH"}},
			{Instance: "c__c-1", Result: ledger.VerifiedFailed, Differences: []string{"no builder"}},
		}},
	}, nil)
	var page strings.Builder
	if err := Write(&page, s, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h3>b__b-1 differs from its native build</h3>\n<pre tabindex=\"0\">env HOME\nenv PATH</pre>", "<h3>c__c-1 could not be compared with a native build</h3>\n<pre tabindex=\"0\">no builder</pre>",
		"<h3>Environment images of SWT-Bench: 1 of 2 missing</h3>\n<pre tabindex=\"0\">the engine does not answer</pre>", "<h3>exec.env.a: build step failed</h3>\n<pre tabindex=\"0\">exit code: 7</pre>",
		"<h3>The record is incomplete</h3>\n<pre tabindex=\"0\">writing images.lock.json: no space left on device\nhint: free disk space</pre>",
		"<h3>Warnings</h3>\n<pre tabindex=\"0\">the hub did not answer\n&lt;script&gt;alert(1)&lt;/script&gt;</pre>",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q:\n%s", want, page.String())
		}
	}
	if strings.Contains(page.String(), "a__a-1") {
		t.Error("an image that is equal is among the problems")
	}
}
