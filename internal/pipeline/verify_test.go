package pipeline

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/report"
)

// atOnce is a house whose fake SDK takes no time.
func atOnce(t *testing.T) *house {
	h := newHouse(t)
	h.takes = func(string) time.Duration { return 0 }
	return h
}

// finish is the run's exit code.
func (r *ran) exit(t *testing.T, err error) int {
	t.Helper()
	r.folder = r.workspace
	return r.finish(t.Context(), err)
}

// Where references and eval-bases are there, nothing needs an engine; the default comparison is left out, and said to be.
func TestVerifyWithoutAnEngine(t *testing.T) {
	h := atOnce(t)
	targets := h.prepare(t)
	h.config.Verify = 1
	r := h.rebase(t, false, targets)
	differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
	if len(r.facts.Warnings) != 1 || !strings.HasPrefix(r.facts.Warnings[0], "No rebased image was verified, because nothing can be built here: ") {
		t.Errorf("warnings: %q", r.facts.Warnings)
	}
	if code := r.exit(t, r.builderProblem()); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// What needs an engine for certain is refused before anything is written.
func TestPreflightOfRebase(t *testing.T) {
	cases := []struct {
		name   string
		change func(h *house)
		want   int
	}{
		{"the default verify", func(h *house) { h.config.Verify = 1 }, ExitOK},
		{"a verify that was asked for", func(h *house) { h.config.Verify, h.config.VerifyGiven = 1, true }, ExitSetup},
		{"a verify that was turned off", func(h *house) { h.config.VerifyGiven = true }, ExitOK},
		{"native", func(h *house) { h.config.Strategy = "native" }, ExitSetup},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.prepare(t)
			c.change(h)
			r := h.newRun(t, false)
			r.targets = targets
			err := r.preflight(t.Context())
			if got := exitCode(false, err, 0); got != c.want {
				t.Errorf("exit code %d (%v), want %d", got, err, c.want)
			}
			for _, q := range h.ours.Requests() {
				if c.want == ExitSetup && q.Method != http.MethodGet && q.Method != http.MethodHead {
					t.Errorf("it wrote: %v", q)
				}
			}
		})
	}
}

// Images that have to be built, and no engine: what can be made is made, then the run ends with the reason.
func TestRebaseWithoutAnEngine(t *testing.T) {
	h := atOnce(t)
	targets := append(h.prepare(t), h.targets(t, "e")...)
	r := h.rebase(t, false, targets)
	differ(t, "images", map[string]string{"c": "rebase", "d": "rebase", "e": "engine-gone"}, r.made())
	if code := r.exit(t, r.builderProblem()); code != ExitSetup {
		t.Errorf("exit code %d", code)
	}
}

// The comparison of a rebased image with a native one decides on the run.
func TestVerifyDuringARun(t *testing.T) {
	agent := func(word string) func(h *house) {
		return func(h *house) { h.others = map[string]string{"comparison d": word} }
	}
	cases := []struct {
		name    string
		reuse   bool // the references are an earlier run's
		change  func(h *house)
		result  ledger.Verdict
		says    string
		left    int
		code    int
		deletes bool
	}{
		{name: "equal", change: func(*house) {}, result: ledger.VerifiedOK, deletes: true},
		{name: "equal, where nothing is deleted", change: func(*house) {}, result: ledger.VerifiedOK, left: 1},
		{name: "another agent", change: agent("two"), result: ledger.VerifiedDifferent, says: "agent", code: ExitFailed, deletes: true},
		{name: "another digest from the same builder", change: agent("one;again"), result: ledger.VerifiedDifferent, says: "agent layer 1",
			code: ExitFailed, deletes: true},
		{name: "another digest from another builder", reuse: true, change: agent("one;again"), result: ledger.VerifiedOK, deletes: true},
		{name: "another agent from another builder", reuse: true, change: agent("two"), result: ledger.VerifiedDifferent, says: "agent-server/two",
			code: ExitFailed, deletes: true},
		{name: "it cannot be built", change: func(h *house) {
			h.fails = func(what string) error {
				if strings.HasPrefix(what, "comparison") {
					return errors.New("broken")
				}
				return nil
			}
		}, result: ledger.VerifiedFailed, says: "broken", code: ExitFailed, deletes: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.targets(t, "a", "b", "c", "d")
			if c.reuse {
				h.rebase(t, true, targets[:3])
			}
			c.change(h)
			h.config.Verify, h.ours.Deletes = 1, c.deletes
			if c.reuse {
				targets = targets[3:]
			}
			r := h.rebase(t, true, targets)
			verified := r.facts.Rebase.Verified
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
			if code := r.exit(t, r.builderProblem()); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

// The command verify compares what it is told to: an image by a tag, or by a digest. An image that these inputs do not make
// is a mistake in them.
func TestVerifyCommand(t *testing.T) {
	cases := []struct {
		name   string
		image  func(h *house) string
		plant  func(v1.Image) v1.Image
		engine bool
		code   int
		result ledger.Verdict
	}{
		{"an image of another plan", func(*house) string { return ours + ":foreign" }, nil, true, ExitBadInput, ""},
		{"a digest of another plan", func(*house) string { return ours + "@sha256:" + strings.Repeat("0", 64) }, nil, true, ExitBadInput, ""},
		{"an image of another plan, and no engine", func(*house) string { return ours + ":foreign" }, nil, false, ExitBadInput, ""},
		{"no engine", func(h *house) string { return h.tag(ours, h.sha, "c", "source-minimal") }, nil, false, ExitSetup, ""},
		{"one that leaves its tags", func(h *house) string {
			h.ours.Deletes = false
			return h.tag(ours, h.sha, "c", "source-minimal")
		}, nil, true, ExitOK, ledger.VerifiedOK},
		{"by tag", func(h *house) string { return h.tag(ours, h.sha, "c", "source-minimal") }, nil, true, ExitOK, ledger.VerifiedOK},
		{"one that was changed", func(h *house) string { return h.tag(ours, h.sha, "c", "source-minimal") },
			func(img v1.Image) v1.Image {
				return registrytest.Configured(img, func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "A=1") })
			}, true, ExitFailed, ledger.VerifiedDifferent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.targets(t, "a", "b", "c", "d")
			h.rebase(t, true, targets)
			if c.plant != nil {
				h.push(t, targets[2].Tags[0], c.plant(registrytest.Final(registrytest.EvalBase(h.bases["c"], h.sha, "x"), h.agent)))
			}
			h.config.VerifyImages = []string{c.image(h)}
			r := h.newRun(t, c.engine)
			r.targets = targets
			r.console = report.NewConsole(r.actions.Info, r.stdout, 0, 1)
			err := r.verifyImages(t.Context(), h)
			if code := r.exit(t, err); code != c.code {
				t.Errorf("exit code %d (%v), want %d", code, err, c.code)
			}
			var results []ledger.Verdict
			for _, v := range r.facts.Rebase.Verified {
				results = append(results, v.Result)
			}
			for _, v := range r.facts.Rebase.Verified {
				if left := len(v.TagsLeft); left != 0 && h.ours.Deletes || left != 2 && !h.ours.Deletes {
					t.Errorf("the report says that these tags are left: %v", v.TagsLeft)
				}
			}
			if c.result != "" && !slices.Equal(results, []ledger.Verdict{c.result}) {
				t.Errorf("results: %v", r.facts.Rebase.Verified)
			}
		})
	}
}
