package outcome

import (
	"errors"
	"testing"
)

func TestStatusIsDerivedFromWhatHappened(t *testing.T) {
	tags := []string{"a:b"}
	cases := []struct {
		name    string
		outcome Outcome
		want    Status
	}{
		{"built", Outcome{Tags: tags}, Built},
		{"skipped", Outcome{Tags: tags, Skipped: true}, Skipped},
		{"an error wins over all else", Outcome{Tags: tags, Skipped: true, Err: errors.New("x")}, Failed},
		{"no tags is no image", Outcome{}, Failed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.outcome.Status(); got != c.want {
				t.Errorf("Status = %s, want %s", got, c.want)
			}
		})
	}
}
