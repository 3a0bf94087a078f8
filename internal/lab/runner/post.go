package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
)

// postEntrypoint is the whole program of a container action's post step: the runner quotes it as one word, and passes
// the same arguments as to the step itself.
var postEntrypoint = regexp.MustCompile(`(?m)^  post-entrypoint:\s*(\S+)\s*$`)

// Post waits for the step's end and runs its post step, as a runner does when a job's steps have ended, whatever became
// of them: the same image, inputs and workspace, another entrypoint, and what the step has saved as STATE_ variables.
// Unlike a real one it gets a new temporary folder.
func (r *Run) Post(ctx context.Context) (Result, error) {
	r.Wait()
	return r.step.post(ctx, r.state)
}

// PostWithoutState is the post step under a runner that does not pass on what the step has saved: nektos/act.
func (r *Run) PostWithoutState(ctx context.Context) (Result, error) {
	r.Wait()
	return r.step.post(ctx, nil)
}

func (s Step) post(ctx context.Context, state map[string]string) (Result, error) {
	action, err := os.ReadFile(s.ActionFile)
	if err != nil {
		return Result{}, fmt.Errorf("looking for the post step: %w", err)
	}
	found := postEntrypoint.FindSubmatch(action)
	if found == nil {
		return Result{}, fmt.Errorf("%s has no post-entrypoint", s.ActionFile)
	}
	s.entrypoint = string(found[1])
	s.Env = maps.Clone(s.Env)
	if s.Env == nil {
		s.Env = map[string]string{}
	}
	for name, value := range state {
		s.Env["STATE_"+name] = value
	}
	run, err := s.Start(ctx)
	if err != nil {
		return Result{}, err
	}
	return run.Wait(), nil
}
