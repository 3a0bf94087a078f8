package config

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:generate go run ./generate

// Input is one input of the action, and one flag of the command line.
type Input struct {
	// Name is kebab-case: "max-workers".
	Name  string
	Group Group
	// Default is the value of an input that is not given. It is empty where there is no such value, or where it depends on
	// the benchmark.
	Default string
	// DefaultNote explains Default in words, or takes its place.
	DefaultNote string
	// Help is one or more sentences, without the default.
	Help string

	kind kind
	// least and most are the limits of an integer; a duration has least only.
	least, most int
	// choices are the values of a choice.
	choices []string
	// check finds what is wrong with a text, and what to do about it. Both are empty for a valid value.
	check func(value string) (problem, fix string)
}

// Group is a heading in the documentation.
type Group string

const (
	whatToBuild Group = "What to build"
	whereToPush Group = "Where to push"
	howToBuild  Group = "How to build"
	resources   Group = "Resources"
	credentials Group = "Credentials"
	record      Group = "Record"
)

// kind is the type of an input's value.
type kind int

const (
	text        kind = iota // one line
	lines                   // several lines
	secret                  // one line that messages never show
	secretLines             // several lines that messages never show
	boolean                 // a flag of this kind needs no value
	integer                 // a whole number
	choice                  // one of a few words
	duration                // as time.ParseDuration takes it, or in days: "30d"
)

// Description is the help with the default, as in action.yml.
func (in Input) Description() string {
	switch {
	case in.Default != "":
		return in.Help + " Default " + in.DefaultText("") + "."
	case in.DefaultNote != "":
		return in.Help + " The default is " + in.DefaultNote + "."
	default:
		return in.Help
	}
}

// DefaultText is the default, with quote before and after it, and its note.
func (in Input) DefaultText(quote string) string {
	switch {
	case in.Default == "":
		return in.DefaultNote
	case in.DefaultNote == "":
		return quote + in.Default + quote
	default:
		return quote + in.Default + quote + " (" + in.DefaultNote + ")"
	}
}

const (
	defaultSDKRepository = "https://github.com/OpenHands/software-agent-sdk.git"
	defaultImage         = "ghcr.io/openhands/eval-agent-server"
	defaultEvalBaseImage = "ghcr.io/openhands/eval-base"
	defaultTarget        = "source-minimal"

	// The evaluation has this prefix hard-wired (OpenHands/benchmarks, swtbench/eval_infer.py). The batch size is that of its workflow.
	defaultEvalImagePrefix  = "ghcr.io/openhands/swtbench-eval"
	defaultEvalEnvBatchSize = "10"
	defaultSWTBench         = "https://github.com/logic-star-ai/swt-bench.git"

	defaultBuildDir = "builds"

	// The limits of OpenHands/benchmarks: 2000 s for an image, BUILD_BATCH_SIZE, BUILDKIT_PRUNE_KEEP_GB and
	// BUILDKIT_PRUNE_THRESHOLD_PCT.
	defaultImageTimeout   = "33m20s"
	defaultBatchSize      = "15"
	defaultKeepStorageGB  = 60
	defaultPruneThreshold = 60

	// hostedDeadline leaves 20 minutes of the 6 hours that a job may take on a GitHub-hosted runner (github/docs,
	// actions/reference/limits) for the steps before and after the action.
	hostedDeadline = "5h40m"

	// The words of fail-on, beside a percentage.
	failOnAny   = "any"
	failOnNever = "never"

	// defaultStallTimeout is above the silence of the slowest step seen: packing a layer of some GB prints nothing for minutes.
	defaultStallTimeout = "10m"

	// defaultMaxRetries makes three attempts in all, as the workflows of OpenHands/benchmarks do for their environment
	// images. The waits between the attempts add up to seconds for a lost connection, and to minutes for a registry that
	// asks to slow down.
	defaultMaxRetries = "2"
)

// Limits that protect from a typing error.
const (
	mostRetries  = 20   // the waits double
	mostVerified = 1000 // these images are built twice
	mostShards   = 1000
)

// inputs describes every input of the action once. The flags, --help, action.yml and the tables in the documentation are
// made from it: go generate ./internal/config.
var inputs = []Input{
	{
		Name: "benchmark", Group: whatToBuild, kind: choice, Default: presets[0].Name, choices: presetNames(),
		Help: "Benchmark to build images for: " + listed(quoted(presetNames())) + ". It sets the defaults of other inputs.",
	},
	{
		Name: "sdk-ref", Group: whatToBuild, check: checkRef,
		Help: "Branch, tag or commit SHA of the SDK. Required, unless `sdk-path` is given or `dry-run` is true.",
	},
	{
		Name: "sdk-repository", Group: whatToBuild, Default: defaultSDKRepository, check: checkRepositoryURL,
		Help: "Git repository of the SDK, as an https, http or file URL.",
	},
	{
		Name: "sdk-path", Group: whatToBuild,
		Help: "Path of an SDK checkout in the workspace, used at its HEAD instead of `sdk-repository` and `sdk-ref`. " +
			"It must have no uncommitted changes.",
	},
	{
		Name: "sdk-options", Group: whatToBuild, kind: lines, DefaultNote: "the SDK's own defaults",
		Help: "Fields of the SDK's BuildOptions, one `name=value` per line. For example, `install_acp_providers=` installs no ACP providers.",
	},
	{
		Name: "build-eval-env", Group: whatToBuild, kind: boolean, Default: "false",
		Help: "Also build the environment images in which SWT-Bench's evaluation runs the instances. For `benchmark: swtbench` only.",
	},
	{
		Name: "swt-bench-repository", Group: whatToBuild, Default: defaultSWTBench, check: checkRepositoryURL,
		Help: "Git repository of SWT-Bench's evaluation, as an https, http or file URL. Used with `build-eval-env`.",
	},
	{
		Name: "swt-bench-ref", Group: whatToBuild, Default: "HEAD", DefaultNote: "the default branch", check: checkRef,
		Help: "Branch, tag or commit SHA of `swt-bench-repository`.",
	},
	{
		Name: "dataset", Group: whatToBuild, DefaultNote: "the benchmark's dataset", check: checkDataset,
		Help: "Dataset with the instances: its name on the Hugging Face Hub, or a .jsonl, .json or .parquet file in the workspace.",
	},
	{
		Name: "split", Group: whatToBuild, DefaultNote: "the benchmark's split", check: checkSplit,
		Help: "Split of the dataset. Ignored for a file.",
	},
	{
		Name: "instance-ids", Group: whatToBuild, kind: lines, DefaultNote: "all instances of the benchmark",
		Help: "Instance ids to build, separated by commas, spaces or line breaks.",
	},
	{
		Name: "instances-file", Group: whatToBuild,
		Help: "File in the workspace with one instance id per line. Ignored if `instance-ids` is given.",
	},
	{
		Name: "n-limit", Group: whatToBuild, kind: integer, Default: "0", DefaultNote: "all", most: math.MaxInt,
		Help: "Number of instances to build, sampled as an evaluation with this limit samples them. " +
			"Ignored if `instance-ids` is given.",
	},
	{
		Name: "shard", Group: whatToBuild, DefaultNote: "`1/1`, all images",
		Help: "Part of the images to build, such as `2/4` for the second of four parts. " +
			"The parts are equally large, and each has images of many repositories.",
	},
	{
		Name: "base-image-template", Group: whatToBuild,
		DefaultNote: "the benchmark's template, for swebench `" + sweBenchBaseImage + "` in lower case",
		Help: "Base image of an instance. Placeholders: " + placeholders(BasePlaceholders) + ", and `{" + columnPlaceholder +
			"NAME}` for a column of the dataset.",
	},
	{
		Name: "target", Group: whatToBuild, Default: defaultTarget, check: checkTarget,
		Help: "Stage of the SDK's Dockerfile to build.",
	},

	{
		Name: "image", Group: whereToPush, Default: defaultImage, check: checkImage,
		Help: "Repository to push the images to, without a tag.",
	},
	{
		Name: "eval-base-image", Group: whereToPush, check: checkEvalBaseImage,
		DefaultNote: "`" + defaultEvalBaseImage + "` for the default of `image`, else the value of `image` with `-base`",
		Help: "Repository to push eval-base images and references to, without a tag. Images are rebased onto eval-base images. " +
			"Keep clean-up jobs away from it: a run that has lost its eval-bases takes hours.",
	},
	{
		Name: "eval-image-prefix", Group: whereToPush, Default: defaultEvalImagePrefix, check: checkEvalImagePrefix,
		Help: "Repository prefix to push SWT-Bench's environment images under. SWT-Bench's evaluation pulls from the default only.",
	},
	{
		Name: "custom-tag-template", Group: whereToPush,
		DefaultNote: "what the benchmark's evaluation pulls, for swebench `" + phasedTag + "`",
		Help: "Custom part of each tag. Placeholders: " + placeholders(TagPlaceholders) + ", and `{" + columnPlaceholder +
			"NAME}` for a column of the dataset. `{instance_tag}` is the last part of the base image's name, " +
			"`{base_image_tag}` its tag in lower case, shortened to 96 characters.",
	},

	{
		Name: "strategy", Group: howToBuild, kind: choice, Default: StrategyAuto,
		choices: []string{StrategyAuto, StrategyNative, StrategyRebase},
		Help: "How to make images. `native` builds each image with the SDK. `rebase` builds two references with the SDK and makes " +
			"the other images from them in the registry. If an image cannot be rebased, `auto` falls back to a native build; " +
			"`rebase` fails the image.",
	},
	{
		Name: "verify", Group: howToBuild, kind: integer, Default: "1", most: mostVerified,
		DefaultNote: "skipped with a warning where nothing can be built",
		Help:        "Number of rebased images to build natively too and compare. A difference fails the run. 0 compares none.",
	},
	{
		Name: "verify-tree", Group: howToBuild, kind: boolean, Default: "false",
		Help: "Also compare all files of the images. Both images are read completely.",
	},
	{
		Name: "eval-base-max-age", Group: howToBuild, kind: duration, Default: "0", DefaultNote: "any age",
		Help: "Rebuild eval-base images that are older than this, such as `30d` or `168h`.",
	},
	{
		Name: "force-build", Group: howToBuild, kind: boolean, Default: "false",
		Help: "Build images even if the registry has them.",
	},
	{
		Name: "dry-run", Group: howToBuild, kind: boolean, Default: "false",
		Help: "Print the plan, with the images that exist already, and build nothing. Without `sdk-ref` the plan has no tags.",
	},
	{
		Name: "deadline", Group: howToBuild, kind: duration, DefaultNote: "`" + hostedDeadline + "` on a GitHub-hosted runner, none elsewhere",
		Help: "Time after which the run ends, such as `2h` or `5h40m`, counted from its start; `0` is none. " +
			"The run begins no image that would probably take longer. Run it again to continue.",
	},
	{
		Name: "fail-on", Group: howToBuild, Default: failOnAny,
		Help: "Missing images that fail the run: `any`, `never`, or a percentage. With `5%` the run fails when more than 5 % of its " +
			"images are missing. A failed set-up or verification fails it anyway.",
	},
	{
		Name: "max-retries", Group: howToBuild, kind: integer, Default: defaultMaxRetries, most: mostRetries,
		Help: "Maximum retries for transient failures.",
	},
	{
		Name: "image-timeout", Group: howToBuild, kind: duration, Default: defaultImageTimeout, least: 1,
		Help: "Maximum time for one attempt at an image, such as `90s`, `30m` or `1h`. Waits for a slot, the references or another image do not count.",
	},
	{
		Name: "stall-timeout", Group: howToBuild, kind: duration, Default: defaultStallTimeout,
		Help: "Maximum time in which a build prints nothing, such as `90s` or `10m`. Then the build is ended and tried again. 0 is no limit.",
	},
	{
		Name: "cache-mode", Group: howToBuild, kind: choice, Default: "off", choices: []string{"off", "min", "max"},
		Help: "Registry cache that BuildKit exports with each image: `off`, `min` or `max`.",
	},
	{
		Name: "builder", Group: howToBuild, DefaultNote: "a new builder, removed at the end of the run", check: checkBuilder,
		Help: "Builder to use: the name of a buildx builder (such as the `name` output of docker/setup-buildx-action), " +
			"or the unix:// or tcp:// address of a buildkitd.",
	},
	{
		Name: "buildkitd-config-inline", Group: howToBuild, kind: lines, DefaultNote: "BuildKit's own settings",
		Help: "buildkitd.toml for the run's own builder, for example to set mirrors or to allow plain http.",
	},

	{
		Name: "max-workers", Group: resources, kind: integer, least: 1, most: math.MaxInt,
		DefaultNote: "the benchmark's, for swebench 8, for swtbench 4",
		Help:        "Maximum number of images to build at once.",
	},
	{
		Name: "batch-size", Group: resources, kind: integer, Default: defaultBatchSize, least: 1, most: 10_000,
		Help: "Check disk space and cache size after this many images.",
	},
	{
		Name: "eval-env-build-batch-size", Group: resources, kind: integer, Default: defaultEvalEnvBatchSize, least: 1, most: 10_000,
		Help: "Check disk space and cache size after this many environment images.",
	},
	{
		Name: "keep-storage-gb", Group: resources, kind: integer, Default: strconv.Itoa(defaultKeepStorageGB), most: 100_000,
		Help: "Size in GB to prune the build cache down to.",
	},
	{
		Name: "prune-threshold-percent", Group: resources, kind: integer, Default: strconv.Itoa(defaultPruneThreshold), least: 1, most: 100,
		Help: "Prune the build cache when the disk is fuller than this percentage. 100 never prunes.",
	},

	{
		Name: "registry-username", Group: credentials, kind: secret, DefaultNote: "anonymous",
		Help: "User name for the registry of `image`.",
	},
	{
		Name: "registry-password", Group: credentials, kind: secretLines,
		Help: "Password or token for the registry of `image`.",
	},
	{
		Name: "base-registry-username", Group: credentials, kind: secret, DefaultNote: "anonymous",
		Help: "User name for the registry of the base images.",
	},
	{
		Name: "base-registry-password", Group: credentials, kind: secretLines,
		Help: "Password or token for the registry of the base images.",
	},
	{
		Name: "hf-token", Group: credentials, kind: secret, DefaultNote: "the environment variable HF_TOKEN, or anonymous",
		Help: "Token for the Hugging Face Hub, needed for private datasets. It is sent to the Hub only.",
	},

	{
		Name: "build-dir", Group: record, Default: defaultBuildDir,
		Help: "Directory in the workspace for the ledger, summaries and logs.",
	},
	{
		Name: "title", Group: record, DefaultNote: "the benchmark's title, such as SWE-Bench image build",
		Help: "Title of the step summary.",
	},
	{
		Name: "artifact", Group: record,
		Help: "Name under which a later step uploads the record and the logs as an artifact. The step summary names it.",
	},
	{
		Name: PreviousSummaryInput, Group: record, DefaultNote: "the one that an earlier run left in `build-dir`",
		Help: "build-summary.json of an earlier run, in the workspace. The step summary says what has changed since then.",
	},
}

// MergeInput is an input of the action only: the command line has a command of this name.
const MergeInput = "merge"

// PreviousSummaryInput is an input that the action's merge reads, too.
const PreviousSummaryInput = "previous-summary"

// actionOnly are no flags.
var actionOnly = []Input{
	{
		Name: MergeInput, Group: record, kind: lines,
		Help: "Directories in the workspace with the records of one plan's shards, separated by spaces or line breaks. The run merges them " +
			"into `build-dir` and builds nothing. Of the other inputs it reads `artifact` and `previous-summary` only.",
	},
}

// FormatFlag is a flag of the command line only: a workflow reads the outputs and the summary of a dry run.
const FormatFlag = "format"

// loadFlag is a flag of the command line only: what an action's container loads is of no use to an evaluation.
const loadFlag = "load"

// flagsOnly are no inputs of the action, where they would change nothing.
var flagsOnly = []Input{
	{
		Name: loadFlag, Group: howToBuild, kind: boolean, Default: "false",
		Help: "Build at most 20 images natively and load them into the local engine, instead of pushing them to a registry.",
	},
	{
		Name: FormatFlag, Group: record, kind: choice, Default: "text", choices: []string{"text", "json"},
		Help: "Output format of a dry run: `text` or `json`. With `json`, everything else goes to stderr.",
	},
}

// BuildDir returns the value of the input build-dir, or an error if it is outside of the workspace: a runner does not allow that.
func BuildDir(given string) (string, error) {
	dir := cmp.Or(strings.TrimSpace(given), defaultBuildDir)
	return dir, Config{BuildDir: dir}.Confine()
}

// allFlags lists the flags of the command line.
func allFlags() []Input { return slices.Concat(inputs, flagsOnly) }

// Inputs lists every input of the action, by group.
func Inputs() []Input { return slices.Concat(inputs, actionOnly) }

// inputNamed returns an input or a flag. It panics for an unknown name: such an input could not be given.
func inputNamed(name string) Input {
	for _, in := range allFlags() {
		if in.Name == name {
			return in
		}
	}
	panic("config: no input is named " + name)
}

// listed joins words: "a, b or c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// quoted puts words between backticks, for Markdown.
func quoted(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = "`" + word + "`"
	}
	return all
}

func placeholders(names []string) string {
	return "`{" + strings.Join(names, "}`, `{") + "}`"
}
