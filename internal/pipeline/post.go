package pipeline

import (
	"context"
	"fmt"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/engine"
	"github.com/OpenHands/eval-images/internal/report"
)

// PostName is the name under which the program is the action's post step: the runner passes no argument that would tell
// it from the step itself.
const PostName = "eval-images-post"

// Post is the action's post step. After a run that was killed it writes the summary that the run could not, by its ledger,
// and removes the builder that the run has left; else there is nothing to do. It never fails a job: the result is always
// ExitOK.
func Post(ctx context.Context, p Process) int {
	r := &run{environ: p.Environ, workspace: p.Dir}
	r.stdout = report.NewScreen(p.Stdout, r.getenv)
	r.actions = actions.New(r.stdout, r.getenv)
	if err := r.reportForKilled(); err != nil {
		r.actions.Info("no summary of the run that was killed: " + err.Error())
	}
	if r.actions.Input("builder") == "" { // else it was not ours
		r.removeLeft(ctx)
	}
	r.actions.Flush()
	return ExitOK
}

func (r *run) removeLeft(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	docker, err := engine.Connect(ctx, r.getenv("DOCKER_HOST"))
	if err != nil {
		r.actions.Info("not looking for a builder that was left: " + err.Error())
		return
	}
	defer docker.Close()
	left, err := r.leftBuilders(ctx, docker)
	if err != nil {
		r.actions.Info("not looking for a builder that was left: " + err.Error())
	}
	for _, name := range left {
		switch found, err := docker.RemoveBuilder(ctx, name); {
		case err != nil:
			r.actions.Warning("builder", fmt.Sprintf("builder %s of this run is left: %v", name, err))
		case found:
			r.actions.Info("removed builder " + name + ", which the run had left")
		}
	}
}

// leftBuilders are the builders that this step may have left: the one that it has saved, or else (a runner that keeps no
// state, such as nektos/act) those with this step's mark whose run is gone.
func (r *run) leftBuilders(ctx context.Context, docker *engine.Engine) ([]string, error) {
	if saved := r.actions.State(builderState); engine.IsOwnName(saved) {
		return []string{saved}, nil
	}
	return docker.Orphans(ctx, stepIdentity(r.getenv))
}
