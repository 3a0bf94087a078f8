package pipeline

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// The names of what the post step needs to tell of a run that was killed: what it was, and whether it has told itself.
const runState, reportedState = "run", "reported"

// begunRun is a run at its start.
type begunRun struct {
	Run     ledger.Run
	Started time.Time
}

func (r *run) saveForPost() {
	saved, err := json.Marshal(begunRun{Run: r.facts, Started: r.facts.Started})
	if err == nil {
		err = r.actions.SaveState(runState, string(saved))
	}
	if err != nil {
		r.actions.Info("a run that is killed will have no summary: " + err.Error())
	}
}

func (r *run) saveReported() {
	if err := r.actions.SaveState(reportedState, "true"); err != nil {
		r.actions.Info("the post step may report once more: " + err.Error())
	}
}

// reportForKilled writes the step summary of a run that has begun and not reported: a runner kills what has not ended 10 s
// after a cancel, and so does an engine without memory. What images became of it, its ledger knows.
func (r *run) reportForKilled() error {
	saved := r.actions.State(runState)
	if saved == "" || r.actions.State(reportedState) != "" {
		return nil
	}
	var begun begunRun
	if err := json.Unmarshal([]byte(saved), &begun); err != nil {
		return fmt.Errorf("reading what the run has saved: %w", err)
	}
	workspace := r.workspace
	if given := r.getenv("GITHUB_WORKSPACE"); given != "" {
		workspace = given
	}
	entries, err := ledger.Read(filepath.Join(workspace, string(begun.Run.Files.Ledger)))
	if err != nil {
		return err
	}
	run := begun.Run
	run.Started, run.Finished, run.Cancelled = begun.Started, begun.Started, true
	run.Files.Summary = "" // it was not written
	run.Warnings = append(run.Warnings, "The run was killed before it could report. This is what its ledger says.")
	for _, e := range entries {
		if e.FinishedAt != nil && e.FinishedAt.After(run.Finished) {
			run.Finished = *e.FinishedAt
		}
	}
	return r.actions.Summary(report.Markdown(ledger.Summarize(run, entries)))
}
