package image

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// A run knows what it has used: references and eval-bases, whether it made them or found them, and bases with packages. It does not count
// what it has only looked for.
func TestRunKnowsWhatItUses(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		set := func(tags ...string) []string {
			slices.Sort(tags)
			return tags
		}
		references := []string{strings.TrimPrefix(h.reference("1"), ours+":"), strings.TrimPrefix(h.reference("2"), ours+":")}
		r := h.run(t, true, h.targets(t, "a", "b", "c"))
		differ(t, "of the first run", set(append(references, key(t, h.bases["c"]))...), r.maker.Used())

		target, base, evalBase := h.plantPackages(t, "e")
		r = h.run(t, false, append(h.targets(t, "c"), target)[1:])
		differ(t, "of a run with packages", set(append(references, base, evalBase)...), r.maker.Used())
		d, planned := h.planned(t, h.targets(t, "d"))
		differ(t, "of a dry run: "+string(d.Images["d"].How), set(references...), planned.maker.Used())

		h.settings.NotRebased = "strategy native"
		target, base, _ = h.plantPackages(t, "f")
		h.bases[ours] = h.bases["f"] // the fake SDK builds on what is in this repository
		r = h.run(t, true, []plan.Target{target})
		differ(t, "of a native build with packages", []string{base}, r.maker.Used())
	})
}

// What no run has used since a moment goes, with its parts. What is younger stays, what has no date, and each tag of another kind.
func TestFindUnused(t *testing.T) {
	const day = 24 * time.Hour
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(400 * day)
		old, now := start.Add(100*day), time.Now()
		dated := func(made time.Time) v1.Image {
			return registrytest.WithConfig(registrytest.Base("x"), func(c *v1.ConfigFile) { c.Created = v1.Time{Time: made} })
		}
		reference := func(commit, rest string) string {
			return "reference-" + strings.Repeat(commit, 40) + "-0123456789abcdef-" + rest
		}
		stage := func(commit string) string {
			return strings.Repeat(commit, 7) + "-reference-base-0123456789abcdef-abcdefg2-base-image-minimal"
		}
		plant := map[string]v1.Image{
			"eval-base-aa": dated(old), "unknown-aa-base-image-minimal": dated(old),
			"eval-base-bb": mutate.Annotations(dated(now), map[string]string{"org.opencontainers.image.created": old.Format(time.RFC3339)}).(v1.Image),
			"eval-base-cc": dated(now.Add(-day)), "eval-base-dd": registrytest.Base("undated"),
			"unknown-bb-base-image-minimal": dated(old), "unknown-ee-base-image-minimal": dated(old),
			reference("a", "1"): dated(old), reference("a", "1-base"): dated(old), stage("a"): dated(old),
			reference("b", "1"): dated(old), reference("b", "2"): dated(old), reference("b", "2-base"): dated(old), stage("b"): dated(old),
			reference("c", "1"): dated(old), reference("c", "2"): dated(old), stage("c"): dated(old), stage("d"): dated(old),
			"base-0123456789abcdef": dated(old), "base-fedcba9876543210": dated(old),
			"latest": dated(old), "eval-base-XY": dated(old), "base-0123": dated(old), "abcdefa-something-source-minimal": dated(old),
			"reference-" + strings.Repeat("b", 40) + "-none": dated(old), "used-up": dated(old),
		}
		for tag, img := range plant {
			h.push(t, bases+":"+tag, img)
		}
		client := h.newRun(t, false).registry
		leave := func(at time.Time, used ...string) {
			t.Helper()
			if err := LeaveUsed(t.Context(), client, bases, used, at); err != nil {
				t.Fatal(err)
			}
		}
		find := func(since time.Time) ([]string, Unused, error) {
			found, err := FindUnused(t.Context(), client, bases, since)
			var tags []string
			for _, u := range found.Tags {
				tags = append(tags, u.Tag)
			}
			slices.Sort(tags)
			return tags, found, err
		}
		if err := WriteLastRun(t.Context(), client, bases, Kept{}); err != nil {
			t.Fatal(err)
		}
		unknown := func(name string, from string) {
			t.Helper()
			tags, _, err := find(now.Add(-90 * day))
			known, ok := errors.AsType[*NotKnown](err)
			if !ok || len(tags) > 0 || from == "" != known.From.IsZero() || from != "" && known.From.Format(time.DateOnly) != from {
				t.Errorf("%s: %v, %v (%+v); want that it is known from %q", name, tags, err, known, from)
			}
		}
		unknown("without lists", "")
		leave(now.Add(-day), "eval-base-aa")
		unknown("with a list of this month", "2001-05-30") // 90 days after the end of February 2001
		leave(now.Add(-80*day), reference("a", "1"), reference("c", "1"), "base-0123456789abcdef")
		leave(now.Add(-160*day), "eval-base-bb")
		leave(now.Add(-200*day), "eval-base-bb", reference("b", "1"))

		tags, found, err := find(now.Add(-90 * day))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"base-fedcba9876543210", stage("b"), "eval-base-bb", reference("b", "1"), reference("b", "2"), reference("b", "2-base"),
			reference("c", "2"), "unknown-bb-base-image-minimal", h.tags(t, "eval-base", "used-2000-07")[0],
		}
		slices.Sort(want)
		differ(t, "what goes", want, tags)
		differ(t, "how many go", Kept{EvalBases: 1, References: 3, PipBases: 1}, found.Gone)
		differ(t, "how many stay", Kept{EvalBases: 3, References: 2, PipBases: 1}, found.Kept)
		for method := range h.ours.Methods() {
			if method == http.MethodDelete {
				t.Error("a tag was deleted")
			}
		}

		before := len(h.ours.Requests())
		leave(now.Add(-day), "eval-base-aa") // another run that has used the same
		if got := len(h.ours.Requests()) - before; got != 1 {
			t.Errorf("%d requests for a list that is there, want one", got)
		}
	})
}
