package pipeline

import (
	"errors"
	"testing"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Of six targets two are references, and one is verified: the last that was rebased.
func TestWhichIsVerified(t *testing.T) {
	rebased, native := build.Result{Tags: []string{"r:t"}, Strategy: rebase.Strategy}, build.Result{Tags: []string{"r:t"}, Strategy: build.StrategyNative}
	cases := []struct {
		name   string
		native []string // of those that are no references
		failed []string
		want   string
	}{
		{"all rebased", nil, nil, "f"},
		{"refused", []string{"f"}, nil, "e"},
		{"refused and failed", []string{"f"}, []string{"e"}, "d"},
		{"a substitute at the end", []string{"f", "e", "d"}, nil, "c"},
		{"none rebased", []string{"f", "e", "d", "c"}, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var targets []plan.Target
			outcomes := map[string]build.Outcome{}
			for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
				targets = append(targets, plan.Target{InstanceID: id, BaseImage: "base/" + id})
				outcomes[id] = build.Outcome{Result: rebased}
			}
			for _, id := range c.native {
				outcomes[id] = build.Outcome{Result: native}
			}
			for _, id := range c.failed {
				outcomes[id] = build.Outcome{Result: rebased, Err: errors.New("failed")}
			}
			b := &rebasing{run: &run{config: config.Config{Verify: 1}}, references: &rebase.References{}}
			chosen := b.chooseVerified(targets)
			for id, waiting := range b.outcomes {
				waiting <- outcomes[id]
			}
			got := chosen[0]
			_, found := b.wasRebased(t.Context(), got)
			if !found {
				got, _, found = b.substitute(t.Context())
			}
			if want := c.want != ""; found != want || found && got.InstanceID != c.want {
				t.Errorf("verified %q, %t; want %q", got.InstanceID, found, c.want)
			}
		})
	}
}
