package act

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// image is act's name for the image that it builds for `uses: ./`.
const image = "act-dockeraction:latest"

// Job is one run of a workflow.
type Job struct {
	Repository string // a folder that was pushed to the forge
	Workflow   string // a file below its .github/workflows
	Event      string // workflow_dispatch or push

	Inputs, Variables, Secrets map[string]string
}

// Result is the outcome of a run.
type Result struct {
	ExitCode int // of act
	Log      string
	Steps    []Step
	Uploads  map[string]string // the file of each artifact, by its name
	Action   string            // the mark of the sources that the action was built from; empty when it was not
}

// Step is one step of one job.
type Step struct {
	Job     string // "swebench/Build SWE-Bench images/build" in a called workflow, else without the first part
	Name    string
	Result  string // success or failure; empty when it did not run
	Outputs map[string]string
	Summary string
}

// Run runs the jobs of a workflow, one after another. act's output goes to log, too.
func (f *Forge) Run(ctx context.Context, job Job, log io.Writer) (Result, error) {
	uploads, err := os.MkdirTemp(f.dir, "uploads-")
	if err != nil {
		return Result{}, fmt.Errorf("making a place for uploads: %w", err)
	}
	if err := os.Chmod(uploads, 0o777); err != nil {
		return Result{}, fmt.Errorf("making a place for uploads: %w", err)
	}
	args, err := f.args(job, uploads)
	if err != nil {
		return Result{}, err
	}
	// The layers stay for the next build.
	if _, err := f.run(ctx, f.dir, "docker", "rmi", "--force", "--no-prune", image); err != nil && !strings.Contains(err.Error(), "No such image") {
		return Result{}, err
	}
	if err := f.removeLeftovers(ctx); err != nil {
		return Result{}, err
	}
	cmd := exec.CommandContext(ctx, f.act, args...)
	cmd.Dir = job.Repository
	cmd.Env = f.environment()
	// act removes the job's containers when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	got, err := follow(cmd, log)
	if err != nil {
		return Result{}, fmt.Errorf("running act on %s: %w", job.Workflow, err)
	}
	if got.Uploads, err = uploaded(uploads); err != nil {
		return Result{}, err
	}
	built, err := f.run(ctx, f.dir, "docker", "images", "--quiet", image)
	if err == nil && built != "" {
		got.Action, err = f.run(ctx, f.dir, "docker", "image", "inspect", "--format", `{{index .Config.Labels "`+label+`"}}`, image)
	}
	return got, err
}

// removeLeftovers removes the containers of a killed run. act names a job's volume after the job and cannot make it again
// while such a container uses it.
func (f *Forge) removeLeftovers(ctx context.Context) error {
	// A step's container shares its job's network namespace, so it is in no network itself. It ended when the job's
	// container was removed.
	for _, those := range [][]string{{"network=" + f.network}, {"status=exited", "status=created", "status=dead"}} {
		find := []string{"ps", "--all", "--quiet", "--filter", "name=^act-"}
		for _, filter := range those {
			find = append(find, "--filter", filter)
		}
		left, err := f.run(ctx, f.dir, "docker", find...)
		if err == nil && left != "" {
			_, err = f.run(ctx, f.dir, "docker", append([]string{"rm", "--force", "--volumes"}, strings.Fields(left)...)...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// environment has none of the user's variables, because act passes its own on to the jobs.
func (f *Forge) environment() []string {
	env := []string{"HOME=" + f.home(), "XDG_CACHE_HOME=" + f.home(), "XDG_CONFIG_HOME=" + f.home(), "PATH=" + os.Getenv("PATH")}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		env = append(env, "DOCKER_HOST="+host)
	}
	return env
}

func (f *Forge) args(job Job, uploads string) ([]string, error) {
	args := []string{
		job.Event, "--workflows", filepath.Join(".github", "workflows", job.Workflow), "--json",
		"--platform", "ubuntu-24.04=" + machine, "--pull=false", "--action-offline-mode", "--no-cache-server", "--rm",
		"--concurrent-jobs", "1", "--network", f.network,
		"--container-options", fmt.Sprintf("--volume %s:/fake-github:ro --volume %s:/fake-uploads --volume %s",
			f.github(), uploads, runner.PackagesMount(f.packages)),
		"--local-repository", Name + "@" + Release + "=" + f.Sources,
	}
	fakes, err := f.fakes()
	if err != nil {
		return nil, err
	}
	args = append(args, fakes...)
	env := maps.Clone(runner.NoHub)
	maps.Copy(env, runner.UsePackages)
	settings := map[string]map[string]string{
		"--input": job.Inputs, "--var": job.Variables, "--secret": job.Secrets, "--env": env,
	}
	for flag, values := range settings {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			args = append(args, flag, name+"="+values[name])
		}
	}
	return args, nil
}

// fakes returns the flags with which act uses a fake for every action, at every version, that a workflow names.
func (f *Forge) fakes() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(f.Sources, ".github", "workflows", "*.yml"))
	if err != nil {
		return nil, fmt.Errorf("looking for workflows: %w", err)
	}
	var args []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a workflow: %w", err)
		}
		for line := range strings.Lines(string(content)) {
			_, uses, _ := strings.Cut(line, "uses: ")
			uses, _, _ = strings.Cut(strings.TrimSpace(uses), " ") // without the comment behind it
			action, _, versioned := strings.Cut(uses, "@")
			fake := filepath.Join(f.checkout, "internal", "lab", "act", "fakes", filepath.Base(action))
			if _, err := os.Stat(fake); err == nil && versioned {
				args = append(args, "--local-repository", uses+"="+fake)
			}
		}
	}
	return args, nil
}

// event is a line of act's log.
type event struct {
	Job        string   `json:"job"`
	Step       string   `json:"step"`
	StepID     []string `json:"stepID"`
	Stage      string   `json:"stage"`
	StepResult string   `json:"stepResult"`
	Command    string   `json:"command"`
	Name       string   `json:"name"`
	Arg        string   `json:"arg"`
	Content    string   `json:"content"`
	Message    string   `json:"msg"`
}

// follow runs act and reads its log.
func follow(cmd *exec.Cmd, log io.Writer) (Result, error) {
	var got Result
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	var failed error
	go func() {
		failed = cmd.Run()
		in.Close()
	}()
	var text strings.Builder
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e.Message = lines.Text() // act's own last word is no JSON
		}
		fmt.Fprintf(io.MultiWriter(&text, log), "[%s] %s\n", e.Job, strings.TrimSpace(e.Message))
		got.add(e)
	}
	if err := lines.Err(); err != nil {
		out.CloseWithError(err)
		return got, fmt.Errorf("reading its log: %w", err)
	}
	got.Log = text.String()
	var exit *exec.ExitError
	if failed != nil && !errors.As(failed, &exit) {
		return got, failed
	}
	got.ExitCode = cmd.ProcessState.ExitCode()
	return got, nil
}

// add records what a line says about a step. The steps of a composite action count for the step that uses it.
func (r *Result) add(e event) {
	if e.Stage != "Main" || len(e.StepID) != 1 {
		return
	}
	at := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Job == e.Job && s.Name == e.Step })
	if at < 0 {
		at = len(r.Steps)
		r.Steps = append(r.Steps, Step{Job: e.Job, Name: e.Step, Outputs: map[string]string{}})
	}
	step := &r.Steps[at]
	switch {
	case e.StepResult != "":
		step.Result = e.StepResult
	case e.Command == "set-output":
		step.Outputs[e.Name] = e.Arg
	case e.Command == "summary":
		step.Summary += e.Content
	}
}

// Step returns the step of that name in the job whose name begins with job, or an empty Step if it did not run.
func (r Result) Step(job, name string) Step {
	for _, step := range r.Steps {
		if strings.HasPrefix(step.Job, job) && step.Name == name {
			return step
		}
	}
	return Step{}
}

// uploaded returns the file of each artifact. It also lists files that no upload has put there, under their own names.
func uploaded(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for uploads: %w", err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if files, err := os.ReadDir(path); err == nil && len(files) == 1 {
			path = filepath.Join(path, files[0].Name())
		}
		found[entry.Name()] = path
	}
	return found, nil
}
