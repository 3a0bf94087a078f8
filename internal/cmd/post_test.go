package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
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

// The post step gets what a run has saved from the runner, and writes the summary of a run that could not.
func TestPostStepReportsAKilledRun(t *testing.T) {
	cases := []struct {
		name     string
		reported bool
		want     []string
	}{
		{"killed", false, []string{"SWE images", "## ❌ Killed after at least 1m 00s: 2 of 3 images are missing", "was killed before it could report", "report for a browser <code>b/report.html</code>"}},
		{"ended", true, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			summary, state := filepath.Join(dir, "summary"), filepath.Join(dir, "state")
			env := environment{
				"GITHUB_ACTIONS=true", "GITHUB_STATE=" + state, "GITHUB_STEP_SUMMARY=" + summary, "GITHUB_WORKSPACE=" + dir,
				"INPUT_BUILDER=b", // so that it looks for no builder that was left
			}
			var said bytes.Buffer
			rec := newRecord(Process{Stdout: &said}, env)
			rec.facts.Title, rec.facts.Planned = "SWE images", 3
			targets := []plan.Target{{InstanceID: "a__a-1"}, {InstanceID: "b__b-1"}, {InstanceID: "c__c-1"}}
			work := &workspace{root: dir}
			if err := openRecord(config.Config{BuildDir: "b", MaxWorkers: 1}, work, rec); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			rec.Ended(t.Context(), &outcome.Outcome{
				Target: targets[0], Tags: []string{"r/i:t"}, Attempts: make([]outcome.Attempt, 1), Started: begin, Finished: begin.Add(time.Minute),
			})
			if c.reported {
				rec.finish(t.Context(), work, targets, nil)
				if err := os.Remove(summary); err != nil {
					t.Fatal(err)
				}
			}

			code := Post(t.Context(), Process{Environ: append(env, states(t, state)...), Stdout: &said, Dir: "/nowhere"})
			if code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			got, err := os.ReadFile(summary)
			if err != nil && len(c.want) > 0 {
				t.Fatalf("%v:\n%s", err, &said)
			}
			for _, text := range c.want {
				if !strings.Contains(string(got), text) {
					t.Errorf("the summary does not say %q:\n%s", text, got)
				}
			}
			page, err := os.ReadFile(filepath.Join(dir, "b", ledger.ReportFileName))
			if err != nil || !c.reported && !strings.Contains(string(page), `<h1 class="bad">❌ Killed after at least 1m 00s: 2 of 3 images are missing`) {
				t.Errorf("report.html (%v):\n%s", err, page)
			}
			if len(c.want) == 0 && len(got) > 0 {
				t.Errorf("a run that has reported is reported again:\n%s", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "b", ledger.FileName)); err != nil {
				t.Error(err)
			}
		})
	}
}
