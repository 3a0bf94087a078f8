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
