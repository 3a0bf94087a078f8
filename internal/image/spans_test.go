package image

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// told are the spans of an image, one a line.
func told(out *outcome.Outcome) []string {
	var lines []string
	for _, s := range ledger.FromOutcome(out).Spans {
		took := fmt.Sprintf("%.0f", s.Seconds)
		if s.Phase == outcome.WaitingToRetry { // it is partly random
			took = "some"
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s s %s %s", took, s.Phase, s.Slot)))
	}
	return lines
}

// An image's spans say what it did and what it waited for, and leave no gap.
func TestSpansTellWhatAnImageDid(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxRetries = 1
	failed := false
	h.fails = func(what string) error {
		if what != "eval-base f" || failed {
			return nil
		}
		failed = true
		return noNetwork
	}
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "y", "z", "c", "d", "e")) // makes the eval-bases of the candidates
		h.sha = strings.Repeat("b", 40)
		r := h.run(t, true, h.targets(t, "a", "b", "c", "d", "e", "f"))
		by := map[string]*outcome.Outcome{}
		for _, out := range r.outcomes {
			by[out.Target.InstanceID] = out
			sum := 0.0
			for _, s := range ledger.FromOutcome(out).Spans {
				sum += s.Seconds
			}
			if all := out.Finished.Sub(out.Started).Seconds(); math.Abs(sum-all) > 0.01 {
				t.Errorf("the spans of %s have %.1f s of %.1f s", out.Target.InstanceID, sum, all)
			}
		}
		differ(t, "spans of the rebased image", []string{
			"60 s eval-base build 1", "some s waiting to retry", "60 s eval-base build 1", "90 s waiting for delta",
		}, told(by["f"]))
		beside := map[string]int{}
		for _, w := range r.beside {
			for _, s := range w.Spans {
				beside[w.What+" of "+w.InstanceID+": "+s.Phase] += int(s.Seconds)
			}
		}
		differ(t, "work beside images", map[string]int{"base stage of a: base stage": 60, "base stage of b: base stage": 60}, beside)
	})
}

// Two pieces of work never have one slot at the same time, so that a row for each slot shows all of a run.
func TestSlotHoldsOneSpanAtATime(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxWorkers = 3
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.numbered(t, 20))
		bySlot := map[ledger.Text][]ledger.Span{}
		add := func(spans []ledger.Span) {
			for _, s := range spans {
				bySlot[s.Slot] = append(bySlot[s.Slot], s)
			}
		}
		for _, out := range r.outcomes {
			add(ledger.FromOutcome(out).Spans)
		}
		for _, w := range r.beside {
			add(w.Spans)
		}
		delete(bySlot, "") // waits
		for slot, spans := range bySlot {
			slices.SortFunc(spans, func(a, b ledger.Span) int { return cmp.Compare(a.StartedAt.UnixNano(), b.StartedAt.UnixNano()) })
			for i := 1; i < len(spans); i++ {
				before := spans[i-1]
				if before.StartedAt.Add(time.Duration(before.Seconds * float64(time.Second))).After(spans[i].StartedAt) {
					t.Errorf("%s has %+v and %+v", slot, before, spans[i])
				}
			}
		}
		if len(bySlot) != 3 {
			t.Errorf("work in %d slots, want the 3 for builds", len(bySlot))
		}
	})
}
