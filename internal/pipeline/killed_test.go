package pipeline

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
)

// states reads the runner's file of saved values as STATE_ variables.
func states(t *testing.T, file string) (environ []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		name, _, _ := strings.Cut(lines[i], "<<")
		environ = append(environ, "STATE_"+name+"="+lines[i+1])
	}
	return environ
}

// TestReportForKilled hands on what a run has saved, as a runner does, to the post step's report.
func TestReportForKilled(t *testing.T) {
	cases := []struct {
		name     string
		reported bool
		want     []string
	}{
		{"killed", false, []string{"SWE images", "1 of 3 images", "was killed before it could report"}},
		{"ended", true, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			summary, state := filepath.Join(dir, "summary"), filepath.Join(dir, "state")
			r := &run{workspace: dir, environ: []string{"GITHUB_ACTIONS=true", "GITHUB_STATE=" + state,
				"GITHUB_STEP_SUMMARY=" + summary, "GITHUB_WORKSPACE=" + dir}}
			r.actions = actions.New(&bytes.Buffer{}, r.getenv)
			r.facts = ledger.Run{Title: "SWE images", Planned: 3, Started: time.Now(), Files: ledger.Files{Ledger: "b/manifest.jsonl"}}
			r.saveForPost()
			writer, err := ledger.Open(filepath.Join(dir, "b"))
			if err != nil {
				t.Fatal(err)
			}
			outcome := build.Outcome{Target: plan.Target{InstanceID: "a__a-1"}, Result: build.Result{Tags: []string{"r/i:t"}, Attempts: 1},
				Started: time.Now(), Finished: time.Now().Add(time.Minute)}
			if err := writer.Append(ledger.FromOutcome(outcome)); err != nil {
				t.Fatal(err)
			}
			if c.reported {
				r.saveReported()
			}

			post := &run{environ: append(r.environ, states(t, state)...)}
			post.actions = actions.New(&bytes.Buffer{}, post.getenv)
			if err := post.reportForKilled(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(summary)
			if err != nil && len(c.want) > 0 {
				t.Fatal(err)
			}
			for _, text := range c.want {
				if !strings.Contains(string(got), text) {
					t.Errorf("the summary does not say %q:\n%s", text, got)
				}
			}
			if len(c.want) == 0 && len(got) > 0 {
				t.Errorf("a run that has reported is reported again:\n%s", got)
			}
		})
	}
}
