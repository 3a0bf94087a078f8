package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
)

// postEntrypoint finds the program of a container action's post step. The runner quotes it as one word and passes the
// step's arguments.
var postEntrypoint = regexp.MustCompile(`(?m)^  post-entrypoint:\s*(\S+)\s*$`)

// Post waits for the end of the step and runs its post step, as a runner does at the end of a job whatever the step's
// result: the same image, inputs and workspace, another entrypoint, and STATE_ variables with what the step has saved.
// Unlike a real post step it gets a new temporary folder.
func (r *Run) Post(ctx context.Context) (Result, error) {
	r.Wait()
	return r.step.post(ctx, r.state)
}

// PostWithoutState runs the post step without the saved state, as nektos/act does.
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
