package pipeline

import (
	"errors"
	"testing"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Of six targets two are references. Those that were rebased are verified from the last one on.
func TestWhichIsVerified(t *testing.T) {
	rebased, native := build.Result{Tags: []string{"r:t"}, Strategy: rebase.Strategy}, build.Result{Tags: []string{"r:t"}, Strategy: build.StrategyNative}
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
			outcomes := map[string]build.Outcome{}
			for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
				target := plan.Target{InstanceID: id, BaseImage: "base/" + id}
				targets = append(targets, target)
				outcomes[id] = build.Outcome{Target: target, Result: rebased}
			}
			for _, id := range c.native {
				outcomes[id] = build.Outcome{Target: outcomes[id].Target, Result: native}
			}
			for _, id := range c.failed {
				outcomes[id] = build.Outcome{Target: outcomes[id].Target, Result: rebased, Err: errors.New("failed")}
			}
			b := &rebasing{run: &run{}, references: &rebase.References{}, outcomes: map[string]chan build.Outcome{}}
			left := b.verifiable(targets)
			for id, outcome := range outcomes {
				b.outcomes[id] = make(chan build.Outcome, 1)
				b.outcomes[id] <- outcome
			}
			got := ""
			for {
				next, behind, found := b.nextRebased(t.Context(), left)
				if !found {
					break
				}
				got, left = got+next.Target.InstanceID, behind
			}
			if got != c.want {
				t.Errorf("verified %q, want %q", got, c.want)
			}
		})
	}
}
