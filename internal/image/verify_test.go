package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// Where references and eval-bases are there, nothing needs an engine; the default comparison is left out, and said to be.
func TestVerifyWithoutAnEngine(t *testing.T) {
	h := atOnce(t)
	targets := h.prepare(t)
	h.settings.Verify = 1
	r := h.run(t, false, targets)
	differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
	if len(r.warnings) != 1 || !strings.HasPrefix(r.warnings[0], "No rebased image was verified, because nothing can be built here: ") {
		t.Errorf("warnings: %q", r.warnings)
	}
	if r.err != nil {
		t.Error(r.err)
	}
}

// Images that have to be built, and no engine: what can be made is made, then the run ends with the reason.
func TestRebaseWithoutAnEngine(t *testing.T) {
	h := atOnce(t)
	targets := append(h.prepare(t), h.targets(t, "e")...)
	r := h.run(t, false, targets)
	differ(t, "images", map[string]string{"c": "rebase", "d": "rebase", "e": "engine-gone"}, r.made())
	if !errors.Is(r.err, errNoBuilder) {
		t.Errorf("the run ends with %v", r.err)
	}
}

// The comparison of a rebased image with a native one decides on the run.
func TestVerifyDuringARun(t *testing.T) {
	agent := func(word string) func(h *fixture) {
		return func(h *fixture) { h.others = map[string]string{"comparison d": word} }
	}
	cases := []struct {
		name    string
		reuse   bool // the references are an earlier run's
		change  func(h *fixture)
		result  ledger.Verdict
		says    string
		left    int
		deletes bool
	}{
		{name: "equal", change: func(*fixture) {}, result: ledger.VerifiedOK, deletes: true},
		{name: "equal, where nothing is deleted", change: func(*fixture) {}, result: ledger.VerifiedOK, left: 2},
		{name: "another agent", change: agent("two"), result: ledger.VerifiedDifferent, says: "agent", deletes: true},
		{name: "another digest from the same builder", change: agent("one;again"), result: ledger.VerifiedDifferent, says: "agent layer 1", deletes: true},
		{name: "another digest after a restart of the builder", change: func(h *fixture) {
			agent("one;again")(h)
			h.takes = func(what string) time.Duration {
				if what == "eval-base d" {
					h.restarts.Add(1)
				}
				return 0
			}
		}, result: ledger.VerifiedOK, deletes: true},
		{name: "another digest from another builder", reuse: true, change: agent("one;again"), result: ledger.VerifiedOK, deletes: true},
		{name: "another agent from another builder", reuse: true, change: agent("two"), result: ledger.VerifiedDifferent, says: "agent-server/two", deletes: true},
		{name: "it cannot be built", change: func(h *fixture) {
			h.fails = func(what string) error {
				if strings.HasPrefix(what, "comparison") {
					return errors.New("broken")
				}
				return nil
			}
		}, result: ledger.VerifiedFailed, says: "broken", deletes: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.targets(t, "a", "b", "c", "d")
			if c.reuse {
				h.run(t, true, targets[:3])
			}
			c.change(h)
			h.settings.Verify, h.ours.Deletes = 1, c.deletes
			if c.reuse {
				targets = targets[3:]
			}
			r := h.run(t, true, targets)
			verified := r.verified
			if len(verified) != 1 {
				t.Fatalf("verified: %v", verified)
			}
			v := verified[0]
			if v.Instance != "d" || v.Result != c.result || !strings.Contains(strings.Join(v.Differences, "\n"), c.says) || len(v.TagsLeft) != c.left {
				t.Errorf("%+v", v)
			}
			if c.deletes && h.whole(t, h.targets(t, "d")) != nil {
				t.Error("the image went with the one that it was compared with")
			}
			if r.err != nil {
				t.Error(r.err)
			}
		})
	}
}

// With verify: 3 and two images that were rebased, each of the two is compared once.
func TestVerifyMoreThanThereAre(t *testing.T) {
	h := atOnce(t)
	h.settings.Verify = 3
	r := h.run(t, true, h.targets(t, "a", "b", "c", "d"))
	var got []string
	for _, v := range r.verified {
		got = append(got, fmt.Sprint(v.Instance, " ", v.Result))
	}
	slices.Sort(got)
	differ(t, "verified", []string{"c ok", "d ok"}, got)
}

// An image that exists is compared with a native build, under tags that are removed where the registry lets it.
func TestVerifyImage(t *testing.T) {
	cases := []struct {
		name    string
		plant   func(v1.Image) v1.Image
		deletes bool
		result  ledger.Verdict
	}{
		{"one that leaves its tags", nil, false, ledger.VerifiedOK},
		{"equal", nil, true, ledger.VerifiedOK},
		{"one that was changed", func(img v1.Image) v1.Image {
			return registrytest.WithConfig(img, func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "A=1") })
		}, true, ledger.VerifiedDifferent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.targets(t, "a", "b", "c", "d")
			h.run(t, true, targets)
			if c.plant != nil {
				h.push(t, targets[2].Tags[0], c.plant(registrytest.Final(registrytest.EvalBase(h.bases["c"], h.sha, "x"), h.agent)))
			}
			h.ours.Deletes = c.deletes
			r := h.newRun(t, true)
			r.maker.VerifyImage(t.Context(), targets[2], 1, targets[2].Tags[0])
			if len(r.verified) != 1 {
				t.Fatalf("verified: %v", r.verified)
			}
			v := r.verified[0]
			want := 0
			if !c.deletes {
				want = 4 // two of the image, and two of its base stage
			}
			if v.Instance != targets[2].Tags[0] || v.Result != c.result || len(v.Tags) != 4 || len(v.TagsLeft) != want {
				t.Errorf("%+v", v)
			}
		})
	}
}
