package ledger

import (
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// Span is a part of an image's time.
type Span struct {
	// Phase is one of those in package outcome, such as "push" or "waiting for delta".
	Phase     string    `json:"phase"`
	StartedAt time.Time `json:"started_at"`
	Seconds   float64   `json:"seconds"`
	// Slot is the slot that the image held, such as "build 2"; null where it held none.
	Slot Text `json:"slot"`
}

// End is when the span ended.
func (s Span) End() time.Time { return after(s.StartedAt, s.Seconds) }

// after is so many seconds after a time.
func after(begin time.Time, seconds float64) time.Time {
	return begin.Add(time.Duration(seconds * float64(time.Second)))
}

// Work is work for an instance beside that on its image. It takes slots, too.
type Work struct {
	InstanceID string `json:"instance_id"`
	What       string `json:"what"`
	Spans      []Span `json:"spans"`
	Shard      Text   `json:"shard"` // only in a merge
}

// WorkOf is the work that an outcome tells of.
func WorkOf(what string, o *outcome.Outcome) Work {
	return Work{InstanceID: o.Target.InstanceID, What: what, Spans: spans(o)}
}

// shortest is the shortest span that is recorded. An image that need not wait enters a phase only to leave it.
const shortest = time.Millisecond

// spans returns the spans that are recorded. Those of one phase and slot in a row are one: an image looks for its layers one by one.
func spans(o *outcome.Outcome) []Span {
	recorded := []Span{}
	var began, ended time.Time // the last one that is recorded
	for i, s := range o.Spans {
		end := o.Finished
		if i+1 < len(o.Spans) {
			end = o.Spans[i+1].Begin
		}
		took, n := end.Sub(s.Begin), len(recorded)
		switch {
		case took < shortest:
		case n > 0 && recorded[n-1].Phase == s.Phase && recorded[n-1].Slot == Text(s.Slot) && s.Begin.Sub(ended) < shortest:
			recorded[n-1].Seconds, ended = round(end.Sub(began).Seconds()), end
		default:
			recorded = append(recorded, Span{Phase: s.Phase, StartedAt: moment(s.Begin), Seconds: round(took.Seconds()), Slot: Text(s.Slot)})
			began, ended = s.Begin, end
		}
	}
	return recorded
}

// slotOf is the slot that was held longest, or empty.
func slotOf(spans []Span) (slot Text) {
	held := map[Text]float64{}
	for _, s := range spans {
		if s.Slot != "" {
			held[s.Slot] += s.Seconds
		}
		if held[s.Slot] > held[slot] {
			slot = s.Slot
		}
	}
	return slot
}
