package act_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
)

// root is the repository, seen from this folder.
const root = "../../.."

// The tests below assert what actionlint does not. They read the workflows with actionlint's own parser.

func parse(t *testing.T, name string) *actionlint.Workflow {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, ".github/workflows", name))
	if err != nil {
		t.Fatal(err)
	}
	workflow, problems := actionlint.Parse(content)
	for _, problem := range problems {
		t.Error(name, problem)
	}
	if t.Failed() {
		t.FailNow()
	}
	return workflow
}

// events returns the inputs of workflow_dispatch and workflow_call, sorted; a required one has a star.
func events(workflow *actionlint.Workflow) (dispatch, call string) {
	star := func(name string, required *actionlint.Bool) string {
		if required != nil && required.Value {
			return name + "*"
		}
		return name
	}
	var dispatched, called []string
	for _, event := range workflow.On {
		switch event := event.(type) {
		case *actionlint.WorkflowDispatchEvent:
			for name, input := range event.Inputs {
				dispatched = append(dispatched, star(name, input.Required))
			}
		case *actionlint.WorkflowCallEvent:
			for _, input := range event.Inputs {
				called = append(called, star(input.Name.Value, input.Required))
			}
		}
	}
	slices.Sort(dispatched)
	slices.Sort(called)
	return strings.Join(dispatched, " "), strings.Join(called, " ")
}

// TestInputNames: callers of the OpenHands/benchmarks workflows use these names.
func TestInputNames(t *testing.T) {
	cases := []struct{ file, dispatch, call string }{
		{
			"build-swebench-images.yml",
			"batch-size benchmarks-commit cache-mode dataset eval-images-ref extensions-ref force-build instance-ids " +
				"max-retries max-workers n-limit sdk-commit split strategy",
			"batch-size benchmarks-ref cache-mode eval-images-ref instance-ids n-limit sdk-commit* strategy",
		},
		{
			"build-swtbench-images.yml",
			"batch-size build-eval-env cache-mode dataset eval-env-build-batch-size eval-image-prefix eval-images-ref " +
				"extensions-ref force-build instance-ids max-retries max-workers n-limit sdk-commit* split strategy",
			"batch-size benchmarks-ref cache-mode eval-images-ref instance-ids n-limit sdk-commit* strategy",
		},
	}
	for _, c := range cases {
		dispatch, call := events(parse(t, c.file))
		if dispatch != c.dispatch {
			t.Errorf("%s: workflow_dispatch has\n%s, want\n%s", c.file, dispatch, c.dispatch)
		}
		if call != c.call {
			t.Errorf("%s: workflow_call has\n%s, want\n%s", c.file, call, c.call)
		}
	}
}

// TestEveryInputIsUsed: each declared input reaches a step, even if that step only says that the input changes nothing.
func TestEveryInputIsUsed(t *testing.T) {
	for _, file := range []string{"build-swebench-images.yml", "build-swtbench-images.yml", "validate.yml"} {
		dispatch, call := events(parse(t, file))
		content, err := os.ReadFile(filepath.Join(root, ".github/workflows", file))
		if err != nil {
			t.Fatal(err)
		}
		_, jobs, _ := strings.Cut(string(content), "\njobs:\n")
		_, steps, _ := strings.Cut(jobs, "    steps:\n")
		if file == "validate.yml" {
			steps = jobs
		}
		for _, name := range strings.Fields(strings.ReplaceAll(dispatch+" "+call, "*", "")) {
			if !strings.Contains(steps, "inputs."+name+" ") {
				t.Errorf("%s: no step has the input %s", file, name)
			}
		}
	}
}

// TestNothingIsPutIntoAScript: GitHub replaces expressions in a script before a shell reads it, so the value of an
// input would be executed. Values reach scripts only as variables.
func TestNothingIsPutIntoAScript(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("found the workflows %v, %v", paths, err)
	}
	for _, path := range paths {
		for name, job := range parse(t, filepath.Base(path)).Jobs {
			for _, step := range job.Steps {
				if run, ok := step.Exec.(*actionlint.ExecRun); ok && strings.Contains(run.Run.Value, "${{") {
					t.Errorf("%s: job %s has a script with an expression in it:\n%s", filepath.Base(path), name, run.Run.Value)
				}
			}
		}
	}
}

// TestJobs checks what would otherwise show only on a runner: permissions, concurrency and time limits.
func TestJobs(t *testing.T) {
	for benchmark, sdk := range map[string]string{"swebench": "${{ inputs.sdk-commit || 'main' }}", "swtbench": "${{ inputs.sdk-commit }}"} {
		workflow := parse(t, "build-"+benchmark+"-images.yml")
		if workflow.Permissions == nil || workflow.Permissions.All != nil || len(workflow.Permissions.Scopes) != 0 {
			t.Errorf("%s: the workflow itself has rights: %+v", benchmark, workflow.Permissions)
		}
		if len(workflow.Jobs) != 1 {
			t.Fatalf("%s has %d jobs, want one", benchmark, len(workflow.Jobs))
		}
		job := workflow.Jobs["build"]
		if got := rights(job.Permissions); got != "contents: read, packages: write" {
			t.Errorf("%s: the job's rights are %s", benchmark, got)
		}
		if group := job.Concurrency.Group.Value; group != "build-"+benchmark+"-images-"+sdk {
			t.Errorf("%s: the group is %s: runs for one SDK ref, and only they, wait for each other", benchmark, group)
		}
		if cancel := job.Concurrency.CancelInProgress; cancel == nil || cancel.Value || cancel.Expression != nil {
			t.Errorf("%s: a run is cancelled when another one begins", benchmark)
		}
		const hosted = 360 // minutes (github/docs, actions/reference/limits)
		if minutes := job.TimeoutMinutes.Value; minutes > hosted {
			t.Errorf("%s: a hosted runner cannot keep timeout-minutes %v", benchmark, minutes)
		}
	}
	for name, job := range parse(t, "validate.yml").Jobs {
		if got := rights(job.Permissions); job.WorkflowCall != nil && got != "contents: read, packages: write" {
			t.Errorf("validate: the job %s gives the rights %s", name, got)
		}
	}
}

func rights(permissions *actionlint.Permissions) string {
	if permissions == nil {
		return "the workflow's"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(permissions.Scopes)) {
		all = append(all, name+": "+permissions.Scopes[name].Value.Value)
	}
	return strings.Join(all, ", ")
}

// TestSteps: this repository is checked out by name, at a release, and the record is uploaded whatever happened, by a
// job that has time left for it.
func TestSteps(t *testing.T) {
	releases := map[string]bool{}
	for _, benchmark := range []string{"swebench", "swtbench"} {
		workflow := parse(t, "build-"+benchmark+"-images.yml")
		releases[workflow.Env.Vars["release"].Value.Value] = true
		job := workflow.Jobs["build"]
		checkout, action, upload := find(t, job, "actions/checkout"), find(t, job, "./"), find(t, job, "actions/upload-artifact")
		if got := with(checkout, "repository") + " " + with(checkout, "ref"); got != "OpenHands/eval-images ${{ inputs.eval-images-ref || env.RELEASE }}" {
			t.Errorf("%s checks out %s", benchmark, got)
		}
		if got := with(action, "benchmark"); got != benchmark {
			t.Errorf("%s builds the images of %s", benchmark, got)
		}
		if got := with(action, "builder"); got != "${{ steps."+find(t, job, "docker/setup-buildx-action").ID.Value+".outputs.name }}" {
			t.Errorf("%s: the builder is %s", benchmark, got)
		}
		if action.TimeoutMinutes == nil || action.TimeoutMinutes.Value > job.TimeoutMinutes.Value-10 {
			t.Errorf("%s: no time is left for the upload", benchmark)
		}
		if want := fmt.Sprintf("%.0fm", job.TimeoutMinutes.Value-20); with(action, "deadline") != want {
			t.Errorf("%s: the deadline is %s, want %s", benchmark, with(action, "deadline"), want)
		}
		for _, name := range []string{"dataset", "split", "n-limit", "instance-ids", "force-build", "max-workers", "max-retries", "batch-size", "cache-mode", "strategy"} {
			if got := with(action, name); got != "${{ inputs."+name+" }}" {
				t.Errorf("%s: the action's %s is %s", benchmark, name, got)
			}
		}
		credentials := with(action, "registry-username") + " " + with(action, "registry-password")
		if credentials != "${{ vars.EVAL_IMAGES_REGISTRY_USERNAME || github.actor }} "+
			"${{ secrets.EVAL_IMAGES_REGISTRY_PASSWORD || secrets.GITHUB_TOKEN }}" {
			t.Errorf("%s pushes with %s", benchmark, credentials)
		}
		at := slices.Index(job.Steps, upload)
		for _, step := range []*actionlint.Step{job.Steps[at-1], upload} {
			if step.If == nil || !strings.HasPrefix(step.If.Value, "always()") {
				t.Errorf("%s: the step %q does not run after a failure", benchmark, step.Name.Value)
			}
		}
		if pack := job.Steps[at-1].Exec.(*actionlint.ExecRun).Run.Value; !strings.Contains(pack, "tar -czf "+with(upload, "path")+" builds") {
			t.Errorf("%s: what is uploaded is not what was packed:\n%s", benchmark, pack)
		}
	}
	if len(releases) != 1 {
		t.Errorf("the workflows run different releases: %v", releases)
	}
}

// TestStrategies: a start by hand offers the action's strategies, and validate.yml passes them on.
func TestStrategies(t *testing.T) {
	for _, file := range []string{"build-swebench-images.yml", "build-swtbench-images.yml", "validate.yml"} {
		workflow := parse(t, file)
		for _, event := range workflow.On {
			dispatch, ok := event.(*actionlint.WorkflowDispatchEvent)
			if !ok {
				continue
			}
			input, options := dispatch.Inputs["strategy"], []string(nil)
			if input == nil || input.Default == nil {
				t.Fatalf("%s has no default strategy", file)
			}
			for _, option := range input.Options {
				options = append(options, option.Value)
			}
			if got := strings.Join(options, " ") + ", " + input.Default.Value; got != "auto native rebase, auto" {
				t.Errorf("%s offers the strategies %s", file, got)
			}
		}
		for name, job := range workflow.Jobs {
			if call := job.WorkflowCall; call != nil {
				if got := call.Inputs["strategy"]; got == nil || got.Value.Value != "${{ inputs.strategy }}" {
					t.Errorf("%s: the job %s does not hand the strategy on", file, name)
				}
			}
		}
	}
}

// TestActionsArePinned: the owner of an action can move its tags, but not a commit's SHA. The comment names the version for
// readers and for Dependabot.
func TestActionsArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$`)
	paths, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("found the workflows %v, %v", paths, err)
	}
	versions := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			_, uses, found := strings.Cut(strings.TrimSpace(line), "uses: ")
			if !found || strings.HasPrefix(uses, "./") {
				continue
			}
			pin := pinned.FindStringSubmatch(uses)
			if pin == nil {
				t.Errorf("%s: %s is not pinned as owner/name@SHA # v1.2.3", filepath.Base(path), uses)
				continue
			}
			if other := versions[pin[1]]; other != "" && other != uses {
				t.Errorf("%s: %s, and elsewhere %s", filepath.Base(path), uses, other)
			}
			versions[pin[1]] = uses
		}
	}
	if len(versions) < 4 {
		t.Errorf("found the actions %v", versions)
	}
}

// TestCIRunsTheAction: only a run on a real runner shows that it builds and starts the action.
func TestCIRunsTheAction(t *testing.T) {
	job := parse(t, "ci.yml").Jobs["action"]
	if job == nil {
		t.Fatal("ci.yml has no job action")
	}
	action := find(t, job, "./")
	registry, _, _ := strings.Cut(with(action, "image"), "/")
	host, port, _ := strings.Cut(registry, ":")
	service := job.Services.Value[host]
	if service == nil {
		t.Fatalf("the action pushes to %s, which is no service of the job", registry)
	}
	if ports := service.Container.Ports; len(ports) != 1 || !strings.HasSuffix(ports[0].Value, ":"+port) {
		t.Errorf("the service %s has not the port %s", host, port)
	}
	if toml := with(action, "buildkitd-config-inline"); !strings.Contains(toml, `[registry."`+registry+`"]`) {
		t.Errorf("BuildKit is not told that %s speaks plain http:\n%s", registry, toml)
	}
}

func find(t *testing.T, job *actionlint.Job, action string) *actionlint.Step {
	t.Helper()
	for _, step := range job.Steps {
		if exec, ok := step.Exec.(*actionlint.ExecAction); ok && strings.HasPrefix(exec.Uses.Value, action) {
			return step
		}
	}
	t.Fatalf("no step uses %s", action)
	return nil
}

func with(step *actionlint.Step, name string) string {
	input := step.Exec.(*actionlint.ExecAction).Inputs[name]
	if input == nil || input.Value == nil {
		return ""
	}
	return input.Value.Value
}
