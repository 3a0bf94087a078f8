package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Missing environments that fail a run are in its verdict, also where missing images are allowed.
func TestHeadlineNamesMissingEnvironments(t *testing.T) {
	environments := &ledger.EvalEnv{Planned: 20, Images: slices.Repeat([]ledger.EvalEnvImage{{Status: outcome.Built}}, 10)}
	cases := map[string]struct {
		s    ledger.Summary
		want string
	}{
		"all images exist": {ledger.Summary{Total: 100, Built: 100}, "❌ 10 of 20 environment images are missing. All 100 images exist"},
		"some may be missing": {
			ledger.Summary{Total: 100, Built: 97, NotStarted: 3, Run: ledger.Run{MissingAllowedPercent: 5}},
			"❌ 10 of 20 environment images are missing. 3 of 100 images are missing: 3 not started",
		},
		"some may be missing, and so may environments": {
			ledger.Summary{Total: 100, Built: 97, NotStarted: 3, Run: ledger.Run{MissingAllowedPercent: 50}},
			"⚠️ 3 of 100 images are missing: 3 not started",
		},
		"too many are missing": {ledger.Summary{Total: 100, Built: 97, NotStarted: 3}, "❌ 3 of 100 images are missing: 3 not started"},
		"a cancel":             {ledger.Summary{Total: 100, Built: 100, WallClockSeconds: 3, Run: ledger.Run{Cancelled: true}}, "⚠️ Cancelled after 3.0s: all images exist"},
	}
	for name, c := range cases {
		c.s.Run.EvalEnv = environments
		if got := Headline(c.s); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func TestEnvironmentImagesHaveASectionOutputsAndALock(t *testing.T) {
	run := ledger.Run{EvalEnv: &ledger.EvalEnv{
		Prefix: "r.test/swt", Instances: 6, Planned: 4, SHA: "0123abc", Stale: []string{"r.test/swt/exec.env.other:latest"},
		Images: []ledger.EvalEnvImage{
			{Name: "exec.base", Base: true, Tags: []string{"r.test/swt/exec.base:latest"}, Digest: "sha256:1", Status: outcome.Skipped},
			{Name: "exec.env.a", Tags: []string{"r.test/swt/exec.env.a:latest"}, Digest: "sha256:2", Status: outcome.Built},
			{Name: "exec.env.b", Tags: []string{}, Status: outcome.Failed, Class: "build-failed", Error: "exit code: 7", LogPath: "exec.env.b.log"},
		},
	}}
	run.Planned = 1
	s := ledger.Summarize(run, []ledger.Entry{{InstanceID: "i", Status: outcome.Built}})
	section := Markdown(s, nil, nil)
	golden(t, "environments.md", section)
	for _, want := range []string{
		"❌ 2 of 4 environment images are missing. ", "### Environment images of SWT-Bench", "4 images for 6 instances under <code>r.test/swt</code>: 1 built, 1 already existed, 2 missing.",
		"exit code: 7", "exec.env.b.log", "1 environment of other instances too old",
	} {
		if !strings.Contains(section, want) {
			t.Errorf("the summary lacks %q:\n%s", want, section)
		}
	}
	outputs := Outputs(s)
	want := [][2]string{{"eval-env-total", "4"}, {"eval-env-built", "1"}, {"eval-env-skipped", "1"}, {"eval-env-failed", "2"}}
	if diff := cmp.Diff(want, outputs[len(outputs)-4:]); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	lock := LockFile(s, nil).Environments
	if len(lock) != 2 || lock["exec.env.a"].Digest != "sha256:2" {
		t.Errorf("the lock file has %v", lock)
	}
	numbers := ledger.SummarizeEvalEnv(run, []string{"i"}, []string{"exec.base:latest"}, []string{"exec.env.a:latest", "exec.env.b:latest"}, 0).Summary
	if numbers.SkippedBase != 1 || numbers.BuiltEnv != 1 || numbers.FailedEnv != 1 || numbers.TotalEnv != 2 {
		t.Errorf("eval-env-summary.json has %+v", numbers)
	}
	run.SetupError = "the SDK cannot be used"
	if said := Headline(ledger.Summarize(run, nil)); !strings.HasPrefix(said, "❌ Nothing was built") {
		t.Errorf("the verdict begins with what follows from a set-up that failed: %s", said)
	}
}
