package image

import (
	"errors"
	"testing"

	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Of six targets two are references. Those that were rebased are verified from the last one on.
func TestWhichIsVerified(t *testing.T) {
	cases := []struct {
		name   string
		native []string // of those that are no references
		failed []string
		want   string
	}{
		{"all rebased", nil, nil, "fedc"},
		{"refused", []string{"f"}, nil, "edc"},
		{"refused and failed", []string{"f"}, []string{"e"}, "dc"},
		{"the last one only", []string{"f", "e", "d"}, nil, "c"},
		{"none rebased", []string{"f", "e", "d", "c"}, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var targets []plan.Target
			outcomes := map[string]*outcome.Outcome{}
			for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
				target := plan.Target{InstanceID: id, BaseImage: "base/" + id}
				targets = append(targets, target)
				outcomes[id] = &outcome.Outcome{Target: target, Tags: []string{"r:t"}, Strategy: outcome.Rebase}
			}
			for _, id := range c.native {
				outcomes[id].Strategy = outcome.Native
			}
			for _, id := range c.failed {
				outcomes[id].Err = errors.New("failed")
			}
			v := newFixture(t).newRun(t, true).maker.newVerifier(Candidates(targets)[wantedReferences:])
			for _, out := range outcomes {
				v.ended(out)
			}
			got := ""
			for {
				next, found := v.next(t.Context())
				if !found {
					break
				}
				got += next.Target.InstanceID
			}
			if got != c.want {
				t.Errorf("verified %q, want %q", got, c.want)
			}
		})
	}
}
