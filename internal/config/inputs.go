package config

import (
	"slices"
	"strconv"
)

// Input is one input of the action, and one flag of the command line.
type Input struct {
	// Name is kebab-case: "max-workers".
	Name string
	// Default says in words what holds when the input is not given; empty where Description says it.
	Default string
	// Description is a sentence or two.
	Description string

	// lines allows line breaks, secret keeps the value out of messages, boolean needs no value as a flag.
	lines, secret, boolean bool
}

// Text is the description with the default, as action.yml has it.
func (in Input) Text() string {
	if in.Default == "" {
		return in.Description
	}
	return in.Description + " Default " + in.Default + "."
}

// inputs is the one table that flags, help and action.yml (by a test) follow.
var inputs = []Input{
	{Name: "benchmark", Default: "swebench", Description: "Preset for instance list, base images, workers and title, " + listed(presetNames()) + "."},
	{Name: "sdk-ref", Description: "Branch, tag or commit SHA of sdk-repository. Required unless sdk-path is given, but for a dry-run."},
	{Name: "sdk-repository", Default: defaultSDKRepository, Description: "Where the SDK is cloned from, an https, http or file URL."},
	{Name: "sdk-path", Description: "Checkout of the SDK in the workspace that is used, at its HEAD, instead of sdk-repository and sdk-ref. " +
		"Uncommitted changes in it are refused."},
	{Name: "sdk-options", Default: "none, so the SDK's own defaults", lines: true,
		Description: "Fields of the SDK's BuildOptions, one name=value a line, for example install_acp_providers= for none."},
	{Name: "dataset", Default: "that of the benchmark",
		Description: "Dataset with the instances, as the Hugging Face hub names it, or a .jsonl or .json file in the workspace."},
	{Name: "split", Default: "that of the benchmark", Description: "Split of the dataset. A file has none, so it is ignored there."},
	{Name: "instance-ids", Default: "all of the benchmark", lines: true,
		Description: "Instance ids to build, separated by commas, blanks or line breaks."},
	{Name: "instances-file", Description: "File in the workspace with one instance id a line. Ignored when instance-ids is given."},
	{Name: "n-limit", Default: "0, all", Description: "How many of the chosen instances to build, the same ones that an evaluation with this limit draws. " +
		"Ignored when instance-ids is given."},
	{Name: "shard", Default: "1/1, all", Description: "Which part of the images this run builds, such as 2/4. The parts are even, and mix repositories."},
	{Name: "image", Default: defaultImage, Description: "Repository that the images are pushed to, without a tag."},
	{Name: "eval-base-image", Default: "that of image",
		Description: "Repository of the eval-base images that images are rebased on, without a tag."},
	{Name: "base-image-template", Default: "that of the benchmark, for swebench " + sweBenchBaseImage + " in lower case",
		Description: "Base image of an instance, with {instance_id} {repo} {name} {arch}, and {column:NAME} for a column of the dataset."},
	{Name: "custom-tag-template", Default: "what the benchmark's evaluation pulls, for swebench " + phasedTag,
		Description: "The custom part of each tag, with {instance_tag} {instance_id} {sdk_dockerfile_sha7} {options_sha7}."},
	{Name: "target", Default: defaultTarget, Description: "Stage of the SDK's Dockerfile."},
	{Name: "strategy", Default: defaultStrategy, Description: "How images are made, auto, native or rebase. native has the SDK build each one; " +
		"rebase has it build two references, and makes the others from these in the registry; what cannot be made so fails with rebase, " +
		"and is built natively with auto."},
	{Name: "verify", Default: strconv.Itoa(defaultVerify) + ", which is left out with a warning where nothing can be built",
		Description: "How many rebased images are also built natively and compared, 0 for none. A difference fails the run."},
	{Name: "verify-tree", Default: "false", Description: "true compares whole file trees too, for which both images are read completely.", boolean: true},
	{Name: "eval-base-max-age", Default: "0, any age", Description: "Age from which an eval-base image is built anew, such as 30d or 168h."},
	{Name: "force-build", Default: "false", Description: "true builds also the images that the registry has.", boolean: true},
	{Name: "dry-run", Default: "false", Description: "true prints the plan, with what exists already, and builds nothing. " +
		"Without sdk-ref it names no tags.", boolean: true},
	{Name: "max-workers", Default: "that of the benchmark, 8 for swebench, 4 for swtbench", Description: "Images built at once."},
	{Name: "max-retries", Default: defaultMaxRetries, Description: "Further attempts at an image that failed for a cause that may pass, 0 for none."},
	{Name: "batch-size", Default: strconv.Itoa(defaultBatchSize),
		Description: "Images after which the engine's disk and the builder's cache are looked at, while builds go on."},
	{Name: "cache-mode", Default: defaultCacheMode, Description: "Registry cache that BuildKit exports with each image, off, min or max."},
	{Name: "image-timeout", Default: defaultImageTimeout.String(), Description: "Longest time for one attempt at an image, such as 90s, 30m or 1h."},
	{Name: "builder", Default: "one of this run's own, removed at its end",
		Description: "Name of a buildx builder to adopt (the name output of docker/setup-buildx-action), " +
			"or the unix:// or tcp:// address of a buildkitd."},
	{Name: "buildkitd-config-inline", Default: "BuildKit's own settings", lines: true,
		Description: "buildkitd.toml of the run's own builder, for example mirrors and registries that speak plain http."},
	{Name: "registry-username", Default: "anonymous", Description: "User name at the registry of image."},
	{Name: "registry-password", Description: "Password or token at the registry of image.", secret: true},
	{Name: "base-registry-username", Default: "anonymous", Description: "User name at the registry of the base images."},
	{Name: "base-registry-password", Description: "Password or token at the registry of the base images.", secret: true},
	{Name: "hf-token", Default: "the environment's HF_TOKEN, or anonymous", secret: true,
		Description: "Token for the Hugging Face hub, which it is sent to and nowhere else. Private datasets need one."},
	{Name: "keep-storage-gb", Default: strconv.Itoa(defaultKeepStorageGB),
		Description: "Size in GB that the builder's cache is pruned down to."},
	{Name: "prune-threshold-percent", Default: strconv.Itoa(defaultPruneThreshold),
		Description: "Use of the engine's disk in percent above which the builder's cache is pruned. 100 never prunes."},
	{Name: "build-dir", Default: defaultBuildDir, Description: "Folder in the workspace for ledger, summaries and logs."},
	{Name: "title", Default: "that of the benchmark, such as SWE-Bench image build", Description: "Title of the step summary."},
}

// flagsAlone are no inputs of the action: there they would change nothing.
var flagsAlone = []Input{
	{Name: FormatFlag, Default: "text", Description: "How a dry run prints its plan, text or json; with json, what else is said goes to stderr."},
}

// allFlags lists what the command line takes.
func allFlags() []Input { return slices.Concat(inputs, flagsAlone) }

// Inputs lists every input there is.
func Inputs() []Input { return append([]Input(nil), inputs...) }

// inputNamed panics for a name that the table lacks: that input could not be given, and would have no help.
func inputNamed(name string) Input {
	for _, in := range allFlags() {
		if in.Name == name {
			return in
		}
	}
	panic("config: no input is named " + name)
}
