package ledger

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// TestWrapped counts what this run built upon a wrapped base: of an image that was there it knows nothing.
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
