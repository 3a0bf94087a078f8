package image

import (
	"testing"
	"testing/synctest"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Images whose tags are too long for the SDK's own build are rebased, and never become references. Where nothing can be
// rebased they fail, each with the reason; the dry run says the same.
func TestImagesThatCannotBeBuiltNatively(t *testing.T) {
	const long = "the SDK's own build would also push a tag of 130 characters, and registries take 128"
	cases := []struct {
		name    string
		long    []string
		refused string // why no image is rebased
		want    map[string]string
	}{
		{
			name: "two others are references", long: []string{"a", "c"},
			want: map[string]string{"a": "rebase", "b": "native", "c": "rebase", "d": "native"},
		},
		{
			name: "too few others", long: []string{"a", "b", "c"},
			want: map[string]string{
				"a": "not-rebased: " + long, "b": "not-rebased: " + long, "c": "not-rebased: " + long, "d": "native",
			},
		},
		{
			name: "an SDK whose images cannot be rebased", long: []string{"a"}, refused: "it is too old",
			want: map[string]string{
				"a": "not-rebased: it is too old; " + long,
				"b": "native: it is too old", "c": "native: it is too old", "d": "native: it is too old",
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			h.settings.NotRebased = c.refused
			synctest.Test(t, func(t *testing.T) {
				targets := h.targets(t, "a", "b", "c", "d")
				for _, id := range c.long {
					targets[id[0]-'a'].NotNative = long
				}
				planned := h.newRun(t, false).maker.Plan(t.Context(), targets)
				r := h.run(t, true, targets)
				differ(t, "images", c.want, r.made())
				for id, how := range hows(planned) {
					made := c.want[id]
					if fails := made[:3] == "not"; fails != (how == plan.None) {
						t.Errorf("the dry run says %s of %s, the run %s", how, id, made)
					}
				}
			})
		})
	}
}
