// Package config turns the action's inputs, or flags of the same names, into a validated Config.
package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is what the user asked for, with all defaults. What can be checked without files or network is checked.
type Config struct {
	// Benchmark is the preset that the other defaults came from.
	Benchmark Benchmark

	// SDKRepository is an https, http or file URL. SDKRef is a branch, tag or SHA in it.
	SDKRepository, SDKRef string
	// SDKPath is an SDK checkout, absolute or relative to the workspace, to use at its HEAD. If it is set, SDKRepository and
	// SDKRef are empty.
	SDKPath string
	// SDKOptions are fields of the SDK's BuildOptions, in the order given. The SDK checks names and values.
	SDKOptions []Option

	// Dataset and Split name the list of instances: on the Hub, or in the workspace if Dataset is a file (LocalDataset).
	Dataset, Split string
	// InstanceIDs and InstancesFile select instances; InstanceIDs wins. If both are empty, all are selected.
	InstanceIDs   []string
	InstancesFile string
	// Limit is the number of selected instances to sample, as the evaluation samples them. 0 is all. With InstanceIDs it is 0.
	Limit int
	// Shard is the part of the plan to build.
	Shard Shard

	// Image is the repository to push images to, without a tag.
	Image string
	// EvalBaseImage is the repository of the eval-base images, without a tag. EvalBaseGiven reports that the user set it: where it
	// cannot be written that is an error, while in the place of the default Image is used, with a warning.
	EvalBaseImage string
	EvalBaseGiven bool
	// BaseImageTemplate makes the base image of an instance, with BasePlaceholders.
	BaseImageTemplate string
	// CustomTagTemplate makes the SDK's custom tag, with TagPlaceholders. TagTemplateGiven reports that the user set it.
	CustomTagTemplate string
	TagTemplateGiven  bool
	// Target is a stage of the SDK's Dockerfile, "source-minimal".
	Target string
	// Strategy is StrategyAuto, StrategyNative or StrategyRebase.
	Strategy string
	// Verify is the number of rebased images to build natively too and compare. VerifyGiven reports that the user set it:
	// where nothing can be built that is an error, while the default is skipped with a warning.
	Verify      int
	VerifyGiven bool
	// VerifyTree also compares all files.
	VerifyTree bool
	// VerifyImages are the images that the command verify compares, as full references in Image. Other runs have none.
	VerifyImages []string
	// EvalBaseMaxAge is the maximum age of eval-base images. 0 is any age.
	EvalBaseMaxAge time.Duration

	// EvalEnv says which images SWT-Bench's evaluation runs in. It is nil where the run does not make them.
	EvalEnv *EvalEnv

	// Load loads images into the local engine instead of pushing them, on a command line only.
	Load bool
	// ForceBuild builds images even if the registry has them.
	ForceBuild bool
	// DryRun prints the plan and builds nothing. Then SDKRef and Builder may be empty.
	DryRun bool
	// Format is the output format of a dry run on the command line: "text" or "json".
	Format string
	// MaxWorkers is the maximum number of images to build at once, 1 or more.
	MaxWorkers int
	// MaxRetries is the maximum number of retries for transient failures of an image.
	MaxRetries int
	// Deadline is how long after its start the run ends; 0 is none. DeadlineOpen reports that the user left it open: on a
	// GitHub-hosted runner it is HostedDeadline then.
	Deadline     time.Duration
	DeadlineOpen bool
	// MissingAllowed is the percentage of the images that may be missing before the run fails: 0 for `fail-on: any`, 100 for
	// never.
	MissingAllowed int
	// BatchSize is the number of finished images between two checks of disk and cache, 1 or more.
	BatchSize int
	// CacheMode is the registry cache that BuildKit exports: "off", "min" or "max".
	CacheMode string
	// ImageTimeout is the maximum time for one attempt at an image.
	ImageTimeout time.Duration
	// StallTimeout is the maximum time in which a build prints nothing. 0 is no limit.
	StallTimeout time.Duration

	// Builder is the name of a buildx builder to adopt, or the unix:// or tcp:// address of a buildkitd. If it is empty, the
	// run creates a builder, with the buildkitd.toml in BuildkitdConfig.
	Builder, BuildkitdConfig string
	// KeepStorageGB is the size to prune the build cache down to, in units of 10^9 bytes.
	KeepStorageGB int
	// PruneThreshold is the disk usage in percent above which the build cache is pruned. 100 never prunes.
	PruneThreshold int

	// Registry and BaseRegistry are the credentials for the registry of Image and for that of the base images.
	Registry, BaseRegistry Credentials

	// HFToken is the token for the Hugging Face Hub. Empty is anonymous.
	HFToken string

	// BuildDir is the directory for ledger, logs and summaries, relative to the workspace.
	BuildDir string
	// Title is the title of the step summary.
	Title string
	// Artifact is the name of the artifact that a later step makes of the record and the logs, or empty.
	Artifact string
	// PreviousSummary is the file with the summary of an earlier run to compare with, or empty.
	PreviousSummary string

	// limitUnused reports that n-limit is given but has no effect.
	limitUnused bool
}

// EvalEnv describes the images that SWT-Bench's evaluation of instances runs in.
type EvalEnv struct {
	// Prefix begins their names: "ghcr.io/openhands/swtbench-eval".
	Prefix string
	// BatchSize is the number of finished images between two checks of disk and cache, 1 or more.
	BatchSize int
	// Repository and Ref are where SWT-Bench's own code comes from.
	Repository, Ref string
}

// Option is one field of the SDK's BuildOptions.
type Option struct{ Name, Value string }

// Credentials are a user name and password for a registry. Both are empty for anonymous access.
type Credentials struct{ Username, Password string }

// Benchmark is a preset: the defaults that differ from one benchmark to the next.
type Benchmark struct {
	// Name is what the user types: "swebench". OtherName is how OpenHands/benchmarks spells it where that differs; it is
	// accepted, too, and read as Name.
	Name, OtherName string
	// Title heads the step summary.
	Title string
	// Dataset and Split name the instance list, as the hub does.
	Dataset, Split string
	// BaseImageTemplate and CustomTagTemplate are the evaluation's own rules.
	BaseImageTemplate, CustomTagTemplate string
	// PrefixVariable is the environment variable that the evaluation reads the beginning of the tag from: "IMAGE_TAG_PREFIX".
	// It is empty where OpenHands/benchmarks builds images, but does not evaluate them.
	PrefixVariable string
	// PipPackages lists the Python packages that are added to base images before the SDK builds on them.
	PipPackages []RepositoryPackages
	// MaxWorkers is the benchmark workflow's default.
	MaxWorkers int
	// Selection names the list of those instances of Dataset and Split that an evaluation uses when none are chosen;
	// empty means all.
	Selection string
	// RequiredColumn is a column of the dataset; an instance in which it is blank has no image. The instances are dropped after
	// sampling, as OpenHands/benchmarks does. Empty means none.
	RequiredColumn string
}

// HostedDeadline is the default of Config.Deadline on a GitHub-hosted runner.
func HostedDeadline() time.Duration {
	d, _ := parseDuration(hostedDeadline) // a test parses it
	return d
}

// Shard is part Index of Count, counted from 1. The zero value is all.
type Shard struct{ Index, Count int }

// String returns the shard as typed, "2/4", or "" for all.
func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// SDKSource returns where the SDK comes from, for reports: a repository and a ref, or a path and its HEAD.
func (c Config) SDKSource() (repository, ref string) {
	if c.SDKPath != "" {
		return c.SDKPath, "HEAD"
	}
	return c.SDKRepository, c.SDKRef
}

// LocalDataset reports whether a dataset is a file in the workspace. Its extension decides, as in OpenHands/benchmarks, which
// reads .jsonl and .json.
func LocalDataset(name string) bool {
	return slices.ContainsFunc([]string{".jsonl", ".json", ".parquet"}, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// Datasets names the datasets of the presets.
func Datasets() []string {
	var names []string
	for _, b := range presets {
		names = append(names, b.Dataset)
	}
	return names
}

// DatasetOf returns the dataset and the split of a benchmark; an empty name is the default.
func DatasetOf(benchmark string) (name, split string) {
	b := presetNamed(cmp.Or(benchmark, presets[0].Name))
	return b.Dataset, b.Split
}

// SplitOf is the split of a preset's dataset, or "".
func SplitOf(dataset string) string {
	for _, b := range presets {
		if b.Dataset == dataset {
			return b.Split
		}
	}
	return ""
}

// Selection names the preset's own list of instances. It is for the preset's dataset and split only, and if the user has
// selected no instances.
func (c Config) Selection() string {
	b := c.Benchmark
	if len(c.InstanceIDs) > 0 || c.InstancesFile != "" || c.Dataset != b.Dataset || c.Split != b.Split {
		return ""
	}
	return b.Selection
}

// Columns names the columns of the dataset that a run needs, besides the instance id.
func (c Config) Columns() []string {
	columns := Columns(c.BaseImageTemplate + c.CustomTagTemplate)
	if required := c.Benchmark.RequiredColumn; required != "" && !slices.Contains(columns, required) {
		columns = append(columns, required)
	}
	return columns
}

// RepositoryPackages lists what the base images of one repository's instances lack.
type RepositoryPackages struct {
	// Repository is the part of the instance ids before "__": "sphinx-doc".
	Repository string
	// Requirements are requirement specifiers for pip, separated by spaces: "docutils<0.21 roman".
	Requirements string
}

// sphinxPackages is for Sphinx's LaTeX builder, which imports helpers for roman numerals. They are in docutils before 0.21 and
// in the package roman (OpenHands/benchmarks, swebench/constants.py WRAPPED_REPOS and Dockerfile.swebench-deps).
var sphinxPackages = []RepositoryPackages{{Repository: "sphinx-doc", Requirements: "docutils<0.21 roman"}}

// PipRequirements returns the requirements to add to the base image of an instance, or "". The id decides: a template may give an image
// any name.
func (b Benchmark) PipRequirements(instanceID string) string {
	repository, _, _ := strings.Cut(instanceID, "__")
	for _, w := range b.PipPackages {
		if w.Repository == repository {
			return w.Requirements
		}
	}
	return ""
}
