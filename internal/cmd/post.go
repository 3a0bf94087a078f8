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

// PostName is the program name of the action's post step. The runner passes it no argument that the step itself does not get.
const PostName = "eval-images-post"

// Post is the action's post step. After a killed run it writes the step summary from the ledger and removes the run's credentials and
// builder.
// Otherwise it does nothing. It always returns ExitOK, so it never fails a job.
func Post(ctx context.Context, p Process) int {
	env := environment(p.Environ)
	a := actions.New(report.NewScreen(p.Stdout, env.get), env.get)
	if err := reportKilledRun(a, env, p.Dir); err != nil {
		a.Info("no summary of the run that was killed: " + err.Error())
	}
	removeLeftCredentials(a)
	if a.Input("builder") == "" { // otherwise the run used a builder of the user
		removeLeftBuilders(ctx, a, env)
	}
	a.Flush()
	return ExitOK
}

// Names of saved states for the post step: the facts of the run, those of its environments, and whether it wrote its report.
const runState, environmentsState, reportedState = "run", "environments", "reported"

// begunRun holds the facts of a run at its start.
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

// saveForPost saves the facts about the environments, when their number is known.
func (e *environments) saveForPost() {
	saved, err := json.Marshal(e.record.facts.EvalEnv)
	if err == nil {
		err = e.record.actions.SaveState(environmentsState, string(saved))
	}
	if err != nil {
		e.record.Info("a run that is killed will have no environments in its summary: " + err.Error())
	}
}

func (r *record) saveReported() {
	if err := r.actions.SaveState(reportedState, "true"); err != nil {
		r.Info("the post step may report once more: " + err.Error())
	}
}

// reportKilledRun writes the step summary and report.html of a run that started but wrote no report. The runner kills a step 10 s after a
// cancel, and the kernel kills it when memory runs out. The ledger has the outcomes of its images.
func reportKilledRun(a *actions.Runner, env environment, root string) error {
	saved := a.State(runState)
	if saved == "" || a.State(reportedState) != "" {
		return nil
	}
	var begun begunRun
	if err := json.Unmarshal([]byte(saved), &begun); err != nil {
		return fmt.Errorf("reading what the run has saved: %w", err)
	}
	if given := env.get("GITHUB_WORKSPACE"); given != "" {
		root = given
	}
	path := filepath.Join(root, string(begun.Run.Files.Ledger))
	entries, err := ledger.Read(path)
	if err != nil {
		return err
	}
	run := begun.Run
	if saved := a.State(environmentsState); saved != "" {
		if run.EvalEnv, err = killedEnvironments(saved, root); err != nil {
			return err
		}
	}
	run.Started, run.Finished, run.Killed = begun.Started, begun.Started, true
	run.Files.Summary = "" // it was not written
	run.Warnings = append(run.Warnings, "The run was killed before it could report. This summary comes from its ledger.")
	for _, e := range entries {
		if e.FinishedAt != nil && e.FinishedAt.After(run.Finished) {
			run.Finished = *e.FinishedAt
		}
	}
	summary := ledger.Summarize(run, entries)
	w := &workspace{root: root, buildDir: filepath.Dir(path), folder: filepath.Dir(path)}
	(&record{actions: a, entries: entries}).writeReport(w, &summary)
	w.chownToOwner()
	return a.Summary(report.Markdown(summary, entries, nil))
}

// killedEnvironments returns what a run has saved about its environments, with the images in their ledger.
func killedEnvironments(saved, workspace string) (*ledger.EvalEnv, error) {
	var e ledger.EvalEnv
	if err := json.Unmarshal([]byte(saved), &e); err != nil {
		return nil, fmt.Errorf("reading what the run has saved about its environments: %w", err)
	}
	entries, err := ledger.Read(filepath.Join(workspace, string(e.Ledger)))
	for _, entry := range entries {
		e.Images = append(e.Images, ledger.EvalEnvImageOf(entry, false))
	}
	return &e, err
}

func removeLeftBuilders(ctx context.Context, a *actions.Runner, env environment) {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	engine, err := docker.Connect(ctx, env.get)
	if err != nil {
		a.Info("not looking for a builder that was left: " + err.Error())
		return
	}
	defer engine.Close()
	// Use the saved name of the builder. A runner without saved state, such as nektos/act, needs a search for builders with this
	// step's label whose run has ended.
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
