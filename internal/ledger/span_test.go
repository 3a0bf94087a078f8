package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// An image that looks for its layers one by one has one span for that, and two where it waits between them, has another slot, or does
// many short things.
func TestSpansInARowAreOne(t *testing.T) {
	at := func(ms float64) time.Time { return noon.Add(time.Duration(ms * float64(time.Millisecond))) }
	o := &outcome.Outcome{Finished: at(1000), Spans: []outcome.Span{
		{Phase: outcome.WaitingForLayer, Slot: "push 1", Begin: at(0)},
		{Phase: outcome.Copy, Slot: "push 1", Begin: at(0)},
		{Phase: outcome.WaitingForLayer, Slot: "push 1", Begin: at(50)},
		{Phase: outcome.Copy, Slot: "push 1", Begin: at(50)},
		{Phase: outcome.WaitingForLayer, Slot: "push 1", Begin: at(120)},
		{Phase: outcome.Copy, Slot: "push 1", Begin: at(320)},
		{Phase: outcome.Copy, Slot: "push 2", Begin: at(400)},
		{Phase: outcome.Push, Slot: "push 2", Begin: at(900)},
		{Phase: outcome.LookUp, Slot: "push 2", Begin: at(940)},
		{Phase: outcome.Copy, Slot: "push 2", Begin: at(940.6)},
		{Phase: outcome.Push, Slot: "push 2", Begin: at(941.2)},
	}}
	want := []Span{
		{Phase: outcome.Copy, StartedAt: at(0), Seconds: 0.12, Slot: "push 1"},
		{Phase: outcome.WaitingForLayer, StartedAt: at(120), Seconds: 0.2, Slot: "push 1"},
		{Phase: outcome.Copy, StartedAt: at(320), Seconds: 0.08, Slot: "push 1"},
		{Phase: outcome.Copy, StartedAt: at(400), Seconds: 0.5, Slot: "push 2"},
		{Phase: outcome.Push, StartedAt: at(900), Seconds: 0.04, Slot: "push 2"},
		{Phase: outcome.Push, StartedAt: at(941), Seconds: 0.059, Slot: "push 2"},
	}
	if diff := cmp.Diff(want, spans(o)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}
