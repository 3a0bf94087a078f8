package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// PostName is the name under which the program is the action's post step: the runner passes no argument that would tell it
// from the step itself.
const PostName = "eval-images-post"

// Post is the action's post step. After a run that was killed it writes the summary that the run could not, by its ledger, and
// removes the builder that the run has left; else there is nothing to do. It never fails a job: the result is always ExitOK.
func Post(ctx context.Context, p Process) int {
	env := environment(p.Environ)
	a := actions.New(report.NewScreen(p.Stdout, env.get), env.get)
	if err := reportKilledRun(a, env, p.Dir); err != nil {
		a.Info("no summary of the run that was killed: " + err.Error())
	}
	if a.Input("builder") == "" { // else it was not ours
		removeLeftBuilders(ctx, a, env)
	}
	a.Flush()
	return ExitOK
}

// The names of what the post step needs to tell of a run that was killed: what it was, and whether it has reported.
const runState, reportedState = "run", "reported"

// begunRun is a run at its start.
type begunRun struct {
	Run     ledger.Run
	Started time.Time
}

func (r *record) saveForPost() {
	saved, err := json.Marshal(begunRun{Run: r.facts, Started: r.facts.Started})
	if err == nil {
		err = r.actions.SaveState(runState, string(saved))
	}
	if err != nil {
		r.Info("a run that is killed will have no summary: " + err.Error())
	}
}

func (r *record) saveReported() {
	if err := r.actions.SaveState(reportedState, "true"); err != nil {
		r.Info("the post step may report once more: " + err.Error())
	}
}

// reportKilledRun writes the step summary of a run that has begun and not reported: a runner kills what has not ended 10 s
// after a cancel, and so does an engine without memory. What became of its images, the run's ledger tells.
func reportKilledRun(a *actions.Runner, env environment, workspace string) error {
	saved := a.State(runState)
	if saved == "" || a.State(reportedState) != "" {
		return nil
	}
	var begun begunRun
	if err := json.Unmarshal([]byte(saved), &begun); err != nil {
		return fmt.Errorf("reading what the run has saved: %w", err)
	}
	if given := env.get("GITHUB_WORKSPACE"); given != "" {
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
	return a.Summary(report.Markdown(ledger.Summarize(run, entries)))
}

func removeLeftBuilders(ctx context.Context, a *actions.Runner, env environment) {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	engine, err := docker.Connect(ctx, env.get("DOCKER_HOST"))
	if err != nil {
		a.Info("not looking for a builder that was left: " + err.Error())
		return
	}
	defer engine.Close()
	// The builder that this step has saved; or else (a runner that keeps no state, such as nektos/act) those with this step's
	// mark whose run is gone.
	left := []string{a.State(builderState)}
	if !docker.IsRunBuilderName(left[0]) {
		if left, err = engine.Orphans(ctx, stepIdentity(env.get)); err != nil {
			a.Info("not looking for a builder that was left: " + err.Error())
		}
	}
	for _, name := range left {
		switch found, err := engine.RemoveBuilder(ctx, name); {
		case err != nil:
			a.Warning("builder", fmt.Sprintf("builder %s of this run is left: %v", name, err))
		case found:
			a.Info("removed builder " + name + ", which the run had left")
		}
	}
}
