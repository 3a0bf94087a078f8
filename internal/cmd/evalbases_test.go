package cmd

import (
	"net/http"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/image"
)

// The default repository of eval-bases is used where it can be written. Else they are among the images, a user is told, and what is there
// is read where that is allowed. A dry run writes nothing and finds the same.
func TestPlaceOfEvalBases(t *testing.T) {
	const images, beside, named = "images.test/eval", "images.test/eval-base", "images.test/bases"
	allowed := func(written, read string) image.Settings {
		return image.Settings{EvalBaseRepository: written, OtherEvalBases: read, EvalBasePushAllowed: true}
	}
	found := func(written, read string) image.Settings {
		return image.Settings{EvalBaseRepository: written, OtherEvalBases: read}
	}
	cases := []struct {
		name     string
		denied   string // methods that the default repository refuses
		given    string
		strategy string
		packages string
		dry      bool
		want     image.Settings
		probes   int
		warns    bool
	}{
		{name: "it can be written", want: allowed(beside, images), probes: 1},
		{name: "it cannot be written", denied: "POST", want: allowed(images, beside), probes: 1, warns: true},
		{name: "it belongs to others", denied: "POST GET HEAD", want: allowed(images, ""), probes: 1, warns: true},
		{name: "another one is named", denied: "POST", given: named, want: found(named, images)},
		{name: "that of the images is named", denied: "POST", given: images, want: found(images, "")},
		{name: "nothing is pushed there", denied: "POST", strategy: config.StrategyNative, want: found(beside, images)},
		{name: "only bases with packages are", strategy: config.StrategyNative, packages: "roman", want: allowed(beside, images), probes: 1},
		{name: "a dry run", dry: true, denied: "POST", want: found(beside, images)},
		{name: "a dry run, and it belongs to others", dry: true, denied: "POST GET HEAD", want: found(images, "")},
		{name: "a dry run with one that belongs to others", dry: true, denied: "POST GET HEAD", given: beside, want: found(beside, images)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifiable(t)
			v.images.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				refused := strings.HasPrefix(r.URL.Path, "/v2/eval-base/") && strings.Contains(c.denied, r.Method)
				if refused {
					w.WriteHeader(http.StatusForbidden)
				}
				return refused
			}
			given := config.Config{Image: images, EvalBaseImage: beside, Strategy: config.StrategyAuto}
			if c.given != "" {
				given.EvalBaseImage, given.EvalBaseGiven = c.given, true
			}
			if c.strategy != "" {
				given.Strategy = c.strategy
			}
			v.targets[0].PipRequirements = c.packages
			var places evalBasePlaces
			if c.dry {
				places = planEvalBases(t.Context(), given, v.client)
			} else {
				var err error
				if places, err = preflight(t.Context(), given, mayRebase(given, len(v.targets), v.record.facts.PlannedTotal), v.targets, v.client, v.builder(t, given, true), v.record); err != nil {
					t.Fatal(err)
				}
			}
			var got image.Settings
			places.set(&got)
			if got.EvalBaseRepository != c.want.EvalBaseRepository || got.OtherEvalBases != c.want.OtherEvalBases || got.EvalBasePushAllowed != c.want.EvalBasePushAllowed {
				t.Errorf("written %q, read %q, allowed %v; want %q, %q, %v", got.EvalBaseRepository, got.OtherEvalBases, got.EvalBasePushAllowed,
					c.want.EvalBaseRepository, c.want.OtherEvalBases, c.want.EvalBasePushAllowed)
			}
			if n := v.images.Count(http.MethodPost, "/v2/eval-base/"); n != c.probes {
				t.Errorf("it asked %d times whether it may push there, want %d", n, c.probes)
			}
			if warned := len(v.facts.Warnings) > 0; warned != c.warns || c.warns && !strings.Contains(v.facts.Warnings[0], "go to "+images) {
				t.Errorf("warnings: %q", v.facts.Warnings)
			}
		})
	}
}
