// Package runner is a fake of GitHub's Actions runner for one step that uses a container action. It starts the action's
// image with the real runner's flags, mounts, environment and files, reads the workflow commands and file commands, and
// cancels with the real runner's signals and pauses.
//
// It follows actions/runner v2.336.0 (DockerCommandManager.cs, ContainerActionHandler.cs, FileCommandManager.cs,
// ActionCommand.cs, ProcessInvoker.cs). Two differences are deliberate: an undeclared input is an error here and a
// warning there, and this fake evaluates no expressions, so action.yml must not use them in defaults.
package runner

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Step is one `uses:` of a container action.
type Step struct {
	Image      string            // the action's own image, in the engine already
	Network    string            // the job's network; empty as in a job without services
	ActionFile string            // path of action.yml; empty passes Inputs on unchecked
	Inputs     map[string]string // the step's `with:`
	Env        map[string]string // the workflow's, job's and step's `env:`
	Workspace  string            // existing folder on the engine's host, mounted as the workspace
	Volumes    []string          // more volumes, as docker's --volume takes them
	Packages   string            // volume for uv's cache, as on a machine that has built before; empty for a new cache
	Log        io.Writer         // live copy of Result.Log; nil for none

	entrypoint string // of a post step; "" is the image's own
}

// Result is what the runner knows when a step has ended.
type Result struct {
	ExitCode    int               // of the docker CLI; -1 when it had to be killed
	Conclusion  string            // success, failure or cancelled, as the job's log shows it
	Outputs     map[string]string // the step's outputs
	Summary     string            // the step summary, masked; empty when it was over the limit
	Log         string            // stdout and stderr, masked
	Annotations []Annotation      // every one that was issued; a real run shows ten of each level
}

// Run is a started step.
type Run struct {
	Container string // name of the step's container

	step      Step
	state     map[string]string // what the step has saved for its post step
	cmd       *exec.Cmd
	job       job
	log       *log
	ended     chan struct{}
	signalled sync.Once // a second Cancel sends no further signals
	cancelled chan struct{}
	result    Result
}

// Start starts the step's container. When ctx is done, the step is cancelled (see [Run.Cancel]).
func (s Step) Start(ctx context.Context) (*Run, error) {
	inputs, err := s.declaredInputs()
	if err != nil {
		return nil, err
	}
	j, err := newJob(s.Workspace)
	if err != nil {
		return nil, err
	}
	r := &Run{
		Container: "lab_runner_" + strings.ToLower(rand.Text()),
		step:      s,
		job:       j,
		log:       newLog(s.Log),
		ended:     make(chan struct{}),
		cancelled: make(chan struct{}),
	}
	env := j.environment(s.Env, inputs)
	if s.Packages != "" {
		maps.Copy(env, UsePackages)
	}
	r.cmd = s.command(r.Container, j, env, r.log)
	if err := r.cmd.Start(); err != nil {
		j.remove()
		return nil, fmt.Errorf("starting %s: %w", s.Image, err)
	}
	go r.await()
	go r.cancelWhenDone(ctx)
	return r, nil
}

// Wait waits for the end of the docker CLI and returns the result.
func (r *Run) Wait() Result {
	<-r.ended
	return r.result
}

func (r *Run) cancelWhenDone(ctx context.Context) {
	select {
	case <-ctx.Done():
		r.Cancel()
	case <-r.ended:
	}
}

// await reads the files as soon as the CLI has ended. What a container writes after that is lost in a real run, too.
func (r *Run) await() {
	defer close(r.ended)
	defer r.job.remove()
	r.cmd.Wait() // its error is in ProcessState, and an exit code is no error of the runner's
	r.log.flush()
	r.result = r.conclude()
	r.state, _ = parseKeyValues(r.job.read("save_state")) // a malformed file gives what it has up to there
}

func (r *Run) conclude() Result {
	outputs, problem := r.job.outputs()
	for name, value := range r.log.outputs {
		outputs[name] = value
	}
	summary, tooLarge := r.job.summary()
	annotations := r.log.annotations
	for _, message := range []string{problem, tooLarge} {
		if message != "" {
			annotations = append(annotations, Annotation{Level: "error", Message: message})
		}
	}
	code := r.cmd.ProcessState.ExitCode()
	return Result{
		ExitCode:    code,
		Conclusion:  r.conclusion(code, problem),
		Outputs:     outputs,
		Summary:     r.log.mask(summary),
		Log:         r.log.text.String(),
		Annotations: annotations,
	}
}

func (r *Run) conclusion(code int, problem string) string {
	select {
	case <-r.cancelled: // whatever the action made of the signal
		return "cancelled"
	default:
	}
	if code != 0 || problem != "" {
		return "failure"
	}
	return "success"
}

// command is the runner's `docker run`. Values are in the CLI's environment, so no process list shows them.
func (s Step) command(name string, j job, env map[string]string, out *log) *exec.Cmd {
	volumes := s.Volumes
	if s.Packages != "" {
		volumes = append(slices.Clone(volumes), PackagesMount(s.Packages))
	}
	cmd := exec.Command("docker", runArgs(name, s.Image, s.entrypoint, s.Network, env, j.mounts(), volumes)...)
	cmd.Env = append(os.Environ(), assignments(env)...)
	cmd.Stdout, cmd.Stderr = out.stream(), out.stream()
	// A terminal's Ctrl-C must not reach the CLI in addition to the runner's signals.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// declaredInputs returns all inputs that action.yml declares: the step's values, and defaults for the others.
func (s Step) declaredInputs() (map[string]string, error) {
	if s.ActionFile == "" {
		return s.Inputs, nil
	}
	file, err := os.Open(filepath.Clean(s.ActionFile))
	if err != nil {
		return nil, fmt.Errorf("opening the action's inputs: %w", err)
	}
	defer file.Close()
	inputs, err := readInputs(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.ActionFile, err)
	}
	for name, value := range s.Inputs {
		if _, ok := inputs[name]; !ok {
			return nil, fmt.Errorf("%s has no input %q", s.ActionFile, name)
		}
		inputs[name] = value
	}
	return inputs, nil
}

// The pauses between the signals of actions/runner's ProcessInvoker.cs. They are the same for a cancelled job and for
// timeout-minutes.
const (
	afterInterrupt = 7500 * time.Millisecond
	afterTerminate = 2500 * time.Millisecond
)

// Cancel sends SIGINT to the docker CLI, which forwards it to process 1 of the container, then SIGTERM, then SIGKILL to
// the CLI alone, and waits for the CLI's end. As on a real runner, a container that ignores the signals keeps running.
func (r *Run) Cancel() {
	r.signalled.Do(r.signalInTurn)
	<-r.ended
}

func (r *Run) signalInTurn() {
	close(r.cancelled)
	if r.endsAfter(syscall.SIGINT, afterInterrupt) || r.endsAfter(syscall.SIGTERM, afterTerminate) {
		return
	}
	r.cmd.Process.Kill() // fails only for a process that has just ended
}

func (r *Run) endsAfter(signal syscall.Signal, pause time.Duration) bool {
	r.cmd.Process.Signal(signal) // fails only for a process that has just ended
	select {
	case <-r.ended:
		return true
	case <-time.After(pause):
		return false
	}
}
