package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/OpenHands/eval-images/internal/config"
)

// workflow is one of the workflows that build the images of a benchmark. Their steps stand once, in a template. GitHub could
// share them at run time, but act could not run that in a workflow that another repository calls: it looks for a nested
// workflow in the caller's repository (https://github.com/nektos/act/issues/1875), and a container action in a composite
// action does not find the job's container (newCompositeRunContext in pkg/runner/action_composite.go drops the caller).
type workflow struct {
	// Benchmark is as OpenHands/benchmarks spells it: file, artifact and concurrency group have this name.
	Benchmark, Title string
	// SDKRef is the expression for the SDK's ref.
	SDKRef string
	// EvalEnv reports that the benchmark has evaluation environments, too.
	EvalEnv bool

	preset config.Benchmark
}

// The names are those of the workflows of OpenHands/benchmarks.
var workflows = []workflow{
	{Benchmark: "swebench", Title: "SWE-Bench", SDKRef: "inputs.sdk-commit || 'main'"},
	{Benchmark: "swebenchmultimodal", Title: "SWE-Bench Multimodal", SDKRef: "inputs.sdk-commit || 'main'"},
	{Benchmark: "swtbench", Title: "SWT-Bench", SDKRef: "inputs.sdk-commit", EvalEnv: true},
}

// workflowInput is one input of a workflow. A call takes text only, as the workflows of OpenHands/benchmarks do.
type workflowInput struct {
	Name, Help string
	Type       string // in the form for a start by hand
	Options    string // of a choice, as a YAML list
	Default    string // what an empty value means; shown in the form
	Required   bool   // by hand; a call always needs sdk-commit
	CallOnly   bool
	Unused     bool // changes nothing
}

const acceptedOnly = "Accepted for callers that set it; changes nothing here."

// Inputs are the inputs of a workflow, in the order of the form.
func (w workflow) Inputs() []workflowInput {
	action := func(name string) string {
		inputs := config.Inputs()
		return inputs[slices.IndexFunc(inputs, func(in config.Input) bool { return in.Name == name })].Default
	}
	sdk := workflowInput{Name: "sdk-commit", Help: "Branch, tag or commit SHA of the SDK.", Default: "main"}
	benchmarksCommit := []workflowInput{{Name: "benchmarks-commit", Help: acceptedOnly, Unused: true}}
	var evalEnv []workflowInput
	if w.EvalEnv {
		sdk.Default, sdk.Required, benchmarksCommit = "", true, nil
		evalEnv = []workflowInput{
			{Name: "build-eval-env", Help: "Also build the environment images of SWT-Bench's evaluation.", Type: "boolean", Default: action("build-eval-env")},
			{Name: "eval-image-prefix", Help: "Repository prefix of the environment images. The default is what the evaluation pulls."},
			{Name: "eval-env-build-batch-size", Help: "Check disk space and cache size after this many environment images. The default is the action's."},
			{Name: "swt-bench-repository", Help: "Git repository of SWT-Bench's evaluation. The default is the action's."},
			{Name: "swt-bench-ref", Help: "Branch, tag or commit SHA of swt-bench-repository. The default is its default branch."},
		}
	}
	return slices.Concat([]workflowInput{
		sdk,
		{Name: "dataset", Help: "Dataset on the hub.", Default: w.preset.Dataset},
		{Name: "split", Help: "Split of the dataset.", Default: w.preset.Split},
		{Name: "n-limit", Help: "Number of instances to build, the same sample that an evaluation with this limit takes. 0 is all.", Default: action("n-limit")},
		{Name: "instance-ids", Help: "Instance ids to build, separated by commas, blanks or line breaks. Overrides n-limit."},
		{Name: "force-build", Help: "Build images even if the registry has them.", Type: "boolean", Default: action("force-build")},
		{Name: "max-workers", Help: "Maximum number of images to build at once.", Default: strconv.Itoa(w.preset.MaxWorkers)},
		{Name: "max-retries", Help: "Maximum retries for transient failures.", Default: action("max-retries")},
		{Name: "fail-on", Help: "Missing images that fail the run, any, never, or a percentage such as 5%.", Default: action("fail-on")},
		{Name: "batch-size", Help: "Check disk space and cache size after this many images.", Default: action("batch-size")},
		{
			Name: "cache-mode", Help: "Registry cache that BuildKit exports with each image, off, min or max.",
			Type: "choice", Options: "['off', min, max]", Default: action("cache-mode"),
		},
		{
			Name: "strategy", Help: "How images are made. native has the SDK build each one, rebase makes most of them in the registry, " +
				"auto falls back from rebase to native.",
			Type: "choice", Options: "[auto, native, rebase]", Default: action("strategy"),
		},
		// The form has no default for it: where nothing can be compared, a number that is given is an error.
		{Name: "verify", Help: "Number of rebased images to build natively too and compare. Default " + action("verify") + "."},
		{Name: "eval-base-image", Help: "Repository to push eval-base images to, without a tag. The default is the action's."},
		{Name: "custom-tag-template", Help: "Custom part of each tag. The default is what the benchmark's evaluation pulls."},
		{Name: "shards", Help: "Number of jobs that share the images, at most 256. Another job merges their records.", Default: "1"},
		{Name: "runs-on", Help: "Label of the runner.", Default: "ubuntu-24.04"},
		{Name: "timeout-minutes", Help: "Time limit of the job, 30 or more. The action ends 20 minutes before it.", Default: "360"},
		{Name: "extensions-ref", Help: acceptedOnly, Unused: true},
	}, benchmarksCommit, evalEnv, []workflowInput{
		{Name: "benchmarks-ref", Help: acceptedOnly, CallOnly: true, Unused: true},
		{Name: "eval-images-ref", Help: "Branch, tag or commit SHA of OpenHands/eval-images to run. The default is the release."},
	})
}

// Outputs are those of the action that a workflow passes on, with their descriptions.
func (w workflow) Outputs() [][2]string {
	outputs := [][2]string{
		{"total", "Images in the plan."},
		{"built", "Images that this run built and pushed."},
		{"skipped", "Images that existed already."},
		{"failed", "Images that are still missing."},
		{"failed-instances", "JSON array of the failed images' instance ids, the first 100."},
		{"images-per-hour", "Throughput of the builds; skipped images do not count."},
		{"wall-clock-seconds", "Duration of the whole run."},
		{"sdist-seconds", "Duration of the one source distribution build; empty when it failed."},
		{"sdk-sha", "Full commit SHA of sdk-commit."},
		{"strategy", "How the images were made, rebase, native, or mixed; empty when none was made."},
	}
	if w.EvalEnv {
		outputs = append(outputs, [][2]string{
			{"eval-env-total", "Environment images in the plan; empty without build-eval-env."},
			{"eval-env-built", "Environment images that this run built and pushed."},
			{"eval-env-skipped", "Environment images that existed already."},
			{"eval-env-failed", "Environment images that are still missing."},
		}...)
	}
	return outputs
}

//go:embed workflow.yml.tmpl
var workflowText string

// Expressions of GitHub have the braces.
var workflowTemplate = template.Must(template.New("").Delims("[[", "]]").Funcs(template.FuncMap{"yaml": scalar}).Parse(workflowText))

func (w workflow) file() string {
	return fmt.Sprintf(".github/workflows/build-%s-images.yml", w.Benchmark)
}

// generate returns the text of the file, whatever it was before.
func (w workflow) generate(string) (string, error) {
	given := map[string]string{"benchmark": w.Benchmark, "sdk-ref": "main"}
	c, err := config.Parse(func(name string) string { return given[name] })
	if err != nil {
		return "", err
	}
	w.preset = c.Benchmark
	var b strings.Builder
	err = workflowTemplate.Execute(&b, w)
	return b.String(), err
}
