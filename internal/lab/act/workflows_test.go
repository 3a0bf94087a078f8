package act_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

// builds are the benchmarks with a workflow, as OpenHands/benchmarks spells them.
var builds = []string{"swebench", "swebenchmultimodal", "swtbench"}

// input is an input of a workflow: of the form for a start by hand, or of a call.
type input struct {
	Type     string
	Required bool

	initial string // the form's default
	options []string
}

// inputs returns the inputs of the events workflow_dispatch and workflow_call.
func inputs(workflow *actionlint.Workflow) (form, call map[string]input) {
	form, call = map[string]input{}, map[string]input{}
	formTypes := map[actionlint.WorkflowDispatchEventInputType]string{
		actionlint.WorkflowDispatchEventInputTypeString: "string", actionlint.WorkflowDispatchEventInputTypeNumber: "number",
		actionlint.WorkflowDispatchEventInputTypeBoolean: "boolean", actionlint.WorkflowDispatchEventInputTypeChoice: "choice",
	}
	callTypes := map[actionlint.WorkflowCallEventInputType]string{
		actionlint.WorkflowCallEventInputTypeString: "string", actionlint.WorkflowCallEventInputTypeNumber: "number",
		actionlint.WorkflowCallEventInputTypeBoolean: "boolean",
	}
	for _, event := range workflow.On {
		switch event := event.(type) {
		case *actionlint.WorkflowDispatchEvent:
			for name, in := range event.Inputs {
				got := input{Type: formTypes[in.Type], Required: in.Required != nil && in.Required.Value}
				if in.Default != nil {
					got.initial = in.Default.Value
				}
				for _, option := range in.Options {
					got.options = append(got.options, option.Value)
				}
				form[name] = got
			}
		case *actionlint.WorkflowCallEvent:
			for _, in := range event.Inputs {
				call[in.Name.Value] = input{Type: callTypes[in.Type], Required: in.IsRequired()}
			}
		}
	}
	return form, call
}

// calls returns the event workflow_call.
func calls(t *testing.T, workflow *actionlint.Workflow) *actionlint.WorkflowCallEvent {
	t.Helper()
	for _, event := range workflow.On {
		if call, ok := event.(*actionlint.WorkflowCallEvent); ok {
			return call
		}
	}
	t.Fatal("the workflow cannot be called")
	return nil
}

// TestACallerChangesNothingButUses: a call of a workflow of OpenHands/benchmarks is a call of ours, of the same file name. The
// inputs there are in testdata, which names its source. A start by hand takes what it takes there, too.
func TestACallerChangesNothingButUses(t *testing.T) {
	content, err := os.ReadFile("testdata/openhands-benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Workflows map[string]map[string]map[string]input
	}
	if err := json.Unmarshal(content, &theirs); err != nil || len(theirs.Workflows) != len(builds) {
		t.Fatalf("%d workflows, want %d: %v", len(theirs.Workflows), len(builds), err)
	}
	for file, events := range theirs.Workflows {
		workflow := parse(t, file)
		form, call := inputs(workflow)
		for name, in := range events["workflow_call"] {
			if diff := cmp.Diff(in, call[name], cmpopts.IgnoreUnexported(input{})); diff != "" {
				t.Errorf("%s: a call takes %s otherwise (-there +here):\n%s", file, name, diff)
			}
		}
		for name, in := range call {
			if _, known := events["workflow_call"][name]; in.Required && !known {
				t.Errorf("%s: a call needs %s, which callers do not give", file, name)
			}
		}
		for name, secret := range calls(t, workflow).Secrets {
			if secret.Required != nil && secret.Required.Value {
				t.Errorf("%s: a call needs the secret %s, which callers do not give", file, name)
			}
		}
		for name := range events["workflow_dispatch"] {
			if _, known := form[name]; !known {
				t.Errorf("%s: a start by hand does not take %s", file, name)
			}
		}
		for name, in := range form {
			if in.Required && !events["workflow_dispatch"][name].Required {
				t.Errorf("%s: a start by hand needs %s, which is optional there", file, name)
			}
		}
	}
}

// TestACallTakesWhatAStartByHandTakes: as text, because that is what the inputs of the calls in OpenHands/benchmarks are.
func TestACallTakesWhatAStartByHandTakes(t *testing.T) {
	for _, benchmark := range builds {
		form, call := inputs(parse(t, "build-"+benchmark+"-images.yml"))
		for name := range form {
			if call[name].Type != "string" {
				t.Errorf("%s: a call takes %s as %q, want a string", benchmark, name, call[name].Type)
			}
		}
		for _, name := range []string{
			"dataset", "split", "force-build", "max-workers", "max-retries", "runs-on", "timeout-minutes", "verify", "eval-base-image",
			"custom-tag-template", "shards",
		} {
			if _, there := call[name]; !there {
				t.Errorf("%s: a call does not take %s", benchmark, name)
			}
		}
	}
}

// TestForms: a form offers what an input can be, and shows its default.
func TestForms(t *testing.T) {
	want := map[string]input{
		"sdk-commit": {Type: "string", initial: "main"}, "dataset": {Type: "string"}, "split": {Type: "string"},
		"n-limit": {Type: "string", initial: "0"}, "max-workers": {Type: "string", initial: "8"},
		"max-retries": {Type: "string", initial: "2"}, "batch-size": {Type: "string", initial: "15"},
		"fail-on":     {Type: "string", initial: "any"},
		"force-build": {Type: "boolean", initial: "false"},
		"cache-mode":  {Type: "choice", initial: "off", options: []string{"off", "min", "max"}},
		"strategy":    {Type: "choice", initial: "auto", options: []string{"auto", "native", "rebase"}},
		"runs-on":     {Type: "string", initial: "ubuntu-24.04"}, "timeout-minutes": {Type: "string", initial: "360"},
		"shards": {Type: "string", initial: "1"},
	}
	others := map[string]map[string]input{
		"swebench": {
			"dataset": {Type: "string", initial: "princeton-nlp/SWE-bench_Verified"}, "split": {Type: "string", initial: "test"},
		},
		"swebenchmultimodal": {
			"dataset": {Type: "string", initial: "princeton-nlp/SWE-bench_Multimodal"}, "split": {Type: "string", initial: "dev"},
		},
		"swtbench": {
			"dataset": {Type: "string", initial: "eth-sri/SWT-bench_Verified_bm25_27k_zsp"}, "split": {Type: "string", initial: "test"},
			"sdk-commit": {Type: "string", Required: true}, "max-workers": {Type: "string", initial: "4"},
			"build-eval-env": {Type: "boolean", initial: "false"},
		},
	}
	for _, benchmark := range builds {
		want := maps.Clone(want)
		maps.Copy(want, others[benchmark])
		form, _ := inputs(parse(t, "build-"+benchmark+"-images.yml"))
		if len(form) > 25 { // GitHub takes no more (github/docs, events-that-trigger-workflows, workflow_dispatch)
			t.Errorf("the form of %s has %d inputs", benchmark, len(form))
		}
		for name, in := range form {
			if _, listed := want[name]; !listed && in.initial == "" && in.Type == "string" {
				delete(form, name) // a text without a default
			}
		}
		if diff := cmp.Diff(want, form, cmp.AllowUnexported(input{})); diff != "" {
			t.Errorf("the form of %s (-want +got):\n%s", benchmark, diff)
		}
	}
}

// TestRunNames: the list of runs shows benchmark, SDK ref and limit.
func TestRunNames(t *testing.T) {
	for benchmark, title := range map[string]string{"swebench": "SWE-Bench", "swebenchmultimodal": "SWE-Bench Multimodal", "swtbench": "SWT-Bench"} {
		name := parse(t, "build-"+benchmark+"-images.yml").RunName.Value
		for _, part := range []string{title + " images", "${{ inputs.sdk-commit ", "format('limit {0}', inputs.n-limit || '0')"} {
			if !strings.Contains(name, part) {
				t.Errorf("%s: the run's name is %s, want %s in it", benchmark, name, part)
			}
		}
	}
}

// TestOutputs: a call returns the outputs of the action's step and the name of the record. With shards they are those of the merge, and
// never those of one shard. actionlint checks the names.
func TestOutputs(t *testing.T) {
	want := map[string]string{"record": "steps.record.outputs.name"}
	for _, name := range strings.Fields("total built skipped failed failed-instances sdk-sha images-per-hour wall-clock-seconds sdist-seconds strategy") {
		want[name] = "steps.images.outputs." + name
	}
	for _, benchmark := range builds {
		workflow := parse(t, "build-"+benchmark+"-images.yml")
		want := maps.Clone(want)
		if benchmark == "swtbench" {
			for _, name := range strings.Fields("total built skipped failed") {
				want["eval-env-"+name] = "steps.images.outputs.eval-env-" + name
			}
		}
		for job, around := range map[string][2]string{
			"build": {"${{ needs.shards.result != 'success' && ", " || '' }}"}, "merge": {"${{ ", " }}"},
		} {
			got := map[string]string{}
			for name, output := range workflow.Jobs[job].Outputs {
				got[name] = strings.TrimSuffix(strings.TrimPrefix(output.Value.Value, around[0]), around[1])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: the outputs of the job %s (-want +got):\n%s", benchmark, job, diff)
			}
		}
		returned := calls(t, workflow).Outputs
		for name := range want {
			if output := returned[name]; output == nil || output.Value.Value != "${{ jobs.merge.outputs."+name+" || jobs.build.outputs."+name+" }}" {
				t.Errorf("%s: a call does not return the output %s", benchmark, name)
			}
		}
	}
}

// TestEveryInputIsUsed: each declared input reaches the job, even if a step only says that the input changes nothing.
func TestEveryInputIsUsed(t *testing.T) {
	for _, file := range []string{"build-swebench-images.yml", "build-swebenchmultimodal-images.yml", "build-swtbench-images.yml", "validate.yml"} {
		form, call := inputs(parse(t, file))
		content, err := os.ReadFile(filepath.Join(root, ".github/workflows", file))
		if err != nil {
			t.Fatal(err)
		}
		_, jobs, _ := strings.Cut(string(content), "\njobs:\n")
		for _, those := range []map[string]input{form, call} {
			for name := range those {
				if !regexp.MustCompile(`inputs\.` + name + `[ )]`).MatchString(jobs) {
					t.Errorf("%s: no job has the input %s", file, name)
				}
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
	for benchmark, sdk := range map[string]string{
		"swebench": "${{ inputs.sdk-commit || 'main' }}", "swebenchmultimodal": "${{ inputs.sdk-commit || 'main' }}",
		"swtbench": "${{ inputs.sdk-commit }}",
	} {
		workflow := parse(t, "build-"+benchmark+"-images.yml")
		if workflow.Permissions == nil || workflow.Permissions.All != nil || len(workflow.Permissions.Scopes) != 0 {
			t.Errorf("%s: the workflow itself has rights: %+v", benchmark, workflow.Permissions)
		}
		for name, want := range map[string]string{
			"shards": "inputs.shards && inputs.shards != '1'", "build": "${{ !cancelled() && needs.shards.result != 'failure' }}",
			"merge": "${{ !cancelled() && needs.shards.result == 'success' }}",
		} {
			if job := workflow.Jobs[name]; job == nil || job.If == nil || job.If.Value != want || len(workflow.Jobs) != 3 {
				t.Fatalf("%s: the job %s does not run if %s, or there are more jobs", benchmark, name, want)
			}
		}
		if s := workflow.Jobs["build"].Strategy; s == nil || s.FailFast == nil || s.FailFast.Value {
			t.Errorf("%s: a shard that fails cancels the others", benchmark)
		}
		if a, b := rights(workflow.Jobs["shards"].Permissions), rights(workflow.Jobs["merge"].Permissions); a != "" || b != "contents: read" {
			t.Errorf("%s: the jobs beside build have the rights %q and %q", benchmark, a, b)
		}
		job := workflow.Jobs["build"]
		if got := rights(job.Permissions); got != "contents: read, packages: write" {
			t.Errorf("%s: the job's rights are %s", benchmark, got)
		}
		if group := job.Concurrency.Group.Value; group != "build-"+benchmark+"-images-"+sdk+
			"${{ needs.shards.result == 'success' && format('-{0}/{1}', matrix.shard, needs.shards.outputs.count) || '' }}" {
			t.Errorf("%s: the group is %s: runs for one SDK ref and shard, and only they, wait for each other", benchmark, group)
		}
		if cancel := job.Concurrency.CancelInProgress; cancel == nil || cancel.Value || cancel.Expression != nil {
			t.Errorf("%s: a run is cancelled when another one begins", benchmark)
		}
		// A hosted runner ends a job after 360 minutes (github/docs, actions/reference/limits).
		if minutes := job.TimeoutMinutes.Expression; minutes == nil || minutes.Value != "${{ fromJSON(inputs.timeout-minutes || '360') }}" {
			t.Errorf("%s: the job's timeout-minutes is %v", benchmark, minutes)
		}
		if label := job.RunsOn.LabelsExpr; label == nil || label.Value != "${{ inputs.runs-on || 'ubuntu-24.04' }}" {
			t.Errorf("%s: the job runs on %v", benchmark, label)
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
	for _, benchmark := range builds {
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
		if minutes := action.TimeoutMinutes; minutes == nil || minutes.Expression.Value != "${{ fromJSON(steps.time.outputs.action) }}" {
			t.Errorf("%s: the step's timeout-minutes leaves no time for the upload: %v", benchmark, minutes)
		}
		want := map[string]string{
			"deadline":          "${{ steps.time.outputs.deadline }}",
			"registry-username": "${{ vars.EVAL_IMAGES_REGISTRY_USERNAME || github.actor }}",
			"registry-password": "${{ secrets.EVAL_IMAGES_REGISTRY_PASSWORD || secrets.GITHUB_TOKEN }}",
			// Docker Hub lets a user pull more than an anonymous caller.
			"base-registry-username": "${{ vars.EVAL_IMAGES_BASE_REGISTRY_USERNAME }}",
			"base-registry-password": "${{ secrets.EVAL_IMAGES_BASE_REGISTRY_PASSWORD }}",
			"hf-token":               "${{ secrets.HF_TOKEN }}",
		}
		for _, name := range strings.Fields("dataset split n-limit instance-ids force-build max-workers max-retries fail-on batch-size cache-mode " +
			"strategy verify eval-base-image custom-tag-template") {
			want[name] = "${{ inputs." + name + " }}"
		}
		if benchmark == "swtbench" {
			for _, name := range strings.Fields("build-eval-env eval-image-prefix eval-env-build-batch-size swt-bench-repository swt-bench-ref") {
				want[name] = "${{ inputs." + name + " }}"
			}
		}
		for name, value := range want {
			if got := with(action, name); got != value {
				t.Errorf("%s: the action's %s is %s, want %s", benchmark, name, got, value)
			}
		}
		if got := with(action, "sdk-ref"); !strings.Contains(got, "&& needs.shards.outputs.commit || inputs.sdk-commit ") {
			t.Errorf("%s: the action's sdk-ref is %s", benchmark, got)
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

// TestDivideTheTime runs the step that gives the action less time than the job.
func TestDivideTheTime(t *testing.T) {
	dir := t.TempDir()
	cases := []struct{ minutes, want string }{
		{"360", "action=350\ndeadline=340m\n"},
		{"30", "action=20\ndeadline=10m\n"},
		{"29", ""},
		{"", ""},
		{"1.5", ""},
		{"x[$(touch " + dir + "/executed)]", ""},
	}
	for _, c := range cases {
		got, log, err := runStep(t, "Divide the time", "MINUTES="+c.minutes)
		if got["GITHUB_OUTPUT"] != c.want || (err == nil) != (c.want != "") || err != nil && !strings.Contains(log, "::error title=timeout-minutes::") {
			t.Errorf("%q: %v, output %q, want %q; log\n%s", c.minutes, err, got["GITHUB_OUTPUT"], c.want, log)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("a value was executed: %v, %v", left, err)
	}
}

// TestListTheShards runs the step that lists what the matrix runs.
func TestListTheShards(t *testing.T) {
	cases := map[string]string{
		"2": "count=2\nall=[1,2]\n", "256": "count=256\nall=[1,2,3,", "0": "", "257": "", "1000": "", "-2": "", "1.5": "", "two": "", " 2": "",
		"99999999999999999999": "",
	}
	for shards, want := range cases {
		got, log, err := runStepOf(t, "shards", "List the shards", "SHARDS="+shards)
		if want == "" {
			if err == nil || got["GITHUB_OUTPUT"] != "" || !strings.Contains(log, "::error title=shards::shards is not a whole number from 1 to 256") {
				t.Errorf("%q: %v, output %q, log\n%s", shards, err, got["GITHUB_OUTPUT"], log)
			}
		} else if output := got["GITHUB_OUTPUT"]; err != nil || !strings.HasPrefix(output, want) || !strings.Contains(output, "\nid=") {
			t.Errorf("%q: %v, output %q, want %q; log\n%s", shards, err, output, want, log)
		}
	}
}

// TestFindTheCommitOfABranch runs the step that has all shards build one commit, on a repository with a branch, a tag, and a name that is
// both.
func TestFindTheCommitOfABranch(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet", "--initial-branch", "main")
	git("commit", "--quiet", "--allow-empty", "--message", "one")
	git("branch", "both")
	git("branch", "fix/one")
	git("tag", "both")
	git("tag", "v1")
	commit := git("rev-parse", "HEAD")
	cases := map[string]string{
		"main": "commit=" + commit + "\n", "fix/one": "commit=" + commit + "\n", "one": "", "both": "", "v1": "", commit: "", "*": "", "main\nx=1": "", "": "",
	}
	for branch, want := range cases {
		got, log, err := runStepOf(t, "shards", "Find the commit of a branch", "REPOSITORY="+dir, "BRANCH="+branch)
		if err != nil || got["GITHUB_OUTPUT"] != want {
			t.Errorf("%q: %v, output %q, want %q; log\n%s", branch, err, got["GITHUB_OUTPUT"], want, log)
		}
	}
	got, log, err := runStepOf(t, "shards", "Find the commit of a branch", "REPOSITORY="+dir+"/none", "BRANCH=main")
	if err != nil || got["GITHUB_OUTPUT"] != "" || !strings.Contains(log, "does not exist") && !strings.Contains(log, "not appear to be a git repository") {
		t.Errorf("without an answer: %v, output %q, log\n%s", err, got["GITHUB_OUTPUT"], log)
	}
}

// TestMergeWithoutRecords runs the step that unpacks the records, where no shard has left one.
func TestMergeWithoutRecords(t *testing.T) {
	_, log, err := runStepOf(t, "merge", "Unpack them")
	if err == nil || !strings.Contains(log, "::error title=merge::no shard has left a record") {
		t.Errorf("%v, log\n%s", err, log)
	}
}

// TestOldEvaluationsAreToldTheirTemplate: OpenHands/benchmarks put the hash of the SDK's Dockerfile into the tags in its #602.
func TestOldEvaluationsAreToldTheirTemplate(t *testing.T) {
	for names, want := range map[string]bool{"benchmarks-ref": true, "benchmarks-commit": true, "extensions-ref": false, "": false} {
		got, log, err := runStep(t, "Say which inputs change nothing", "NAMES="+names)
		summary := got["GITHUB_STEP_SUMMARY"]
		if err != nil || strings.Contains(summary, "the input `custom-tag-template: '{instance_tag}'`") != want || (summary == "") != (names == "") {
			t.Errorf("%q: %v, summary\n%s\nlog\n%s", names, err, summary, log)
		}
	}
}

// runStep runs the script of a step as a runner does. It returns the files that the script wrote for the runner.
func runStep(t *testing.T, name string, env ...string) (files map[string]string, log string, err error) {
	t.Helper()
	return runStepOf(t, "build", name, env...)
}

func runStepOf(t *testing.T, jobName, name string, env ...string) (files map[string]string, log string, err error) {
	t.Helper()
	job := parse(t, "build-swebench-images.yml").Jobs[jobName]
	at := slices.IndexFunc(job.Steps, func(s *actionlint.Step) bool { return s.Name.Value == name })
	if at < 0 {
		t.Fatalf("no step %q", name)
	}
	files = map[string]string{}
	cmd := exec.Command("bash", "-e", "-c", job.Steps[at].Exec.(*actionlint.ExecRun).Run.Value)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"))
	for _, file := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		files[file] = filepath.Join(t.TempDir(), file)
		cmd.Env = append(cmd.Env, file+"="+files[file])
	}
	out, err := cmd.CombinedOutput()
	for file, path := range files {
		content, readErr := os.ReadFile(path)
		if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
			t.Fatal(readErr)
		}
		files[file] = string(content)
	}
	return files, string(out), err
}

// TestValidatePassesOn: validate.yml gives the workflows the strategy and its secrets.
func TestValidatePassesOn(t *testing.T) {
	workflow := parse(t, "validate.yml")
	if form, _ := inputs(workflow); !slices.Equal(form["strategy"].options, []string{"auto", "native", "rebase"}) {
		t.Errorf("validate.yml offers the strategies %v", form["strategy"].options)
	}
	for name, job := range workflow.Jobs {
		call := job.WorkflowCall
		if call == nil {
			continue
		}
		if got := call.Inputs["strategy"]; got == nil || got.Value.Value != "${{ inputs.strategy }}" {
			t.Errorf("the job %s does not hand the strategy on", name)
		}
		for secret := range calls(t, parse(t, "build-swebench-images.yml")).Secrets {
			if call.Secrets[secret] == nil {
				t.Errorf("the job %s does not hand the secret %s on", name, secret)
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
