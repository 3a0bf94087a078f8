// Package config turns the action's inputs, or the same names as flags, into one validated Config.
package config

import "time"

// Config is what the user asked for, complete: every default is filled in and every value was checked that can be
// checked without looking outside.
type Config struct {
	// Benchmark is the preset that the other defaults came from.
	Benchmark Benchmark

	// SDKRepository is where the SDK is cloned from: an https, http or file URL. SDKRef is a branch, tag or SHA of it.
	SDKRepository, SDKRef string
	// SDKPath is a work tree to take the SDK from at its HEAD, relative to the workspace or absolute. Where it is given,
	// SDKRepository and SDKRef are empty.
	SDKPath string
	// SDKOptions are fields of the SDK's BuildOptions, in the order given. The SDK checks names and values.
	SDKOptions []Option

	// Dataset and Split name the instance list: on the hub or, where Dataset is a file (LocalDataset), in the workspace.
	Dataset, Split string
	// InstanceIDs and InstancesFile choose from the dataset; the ids win over the file. Both empty means everything.
	InstanceIDs   []string
	InstancesFile string
	// Limit is how many of them a run takes, by the evaluation's own sampling; 0 is all. With InstanceIDs it is 0.
	Limit int
	// Shard is the part of the plan that this run has.
	Shard Shard

	// Image is the repository that images are pushed to, without a tag.
	Image string
	// EvalBaseImage is the repository of the eval-base images, without a tag; Image where the user named none.
	EvalBaseImage string
	// BaseImageTemplate makes an instance's base image: {instance_id} {repo} {name} {arch}.
	BaseImageTemplate string
	// CustomTagTemplate makes the SDK's custom tag: {instance_tag} {instance_id} {sdk_dockerfile_sha7} {options_sha7}.
	// TagTemplateGiven says that the user wrote it.
	CustomTagTemplate string
	TagTemplateGiven  bool
	// Target is the SDK Dockerfile's stage, "source-minimal".
	Target string
	// Strategy is how images are made: StrategyAuto, StrategyNative or StrategyRebase.
	Strategy string
	// Verify is how many rebased images are also built natively and compared. VerifyGiven says that the user wrote it: what
	// was asked for is an error where it is not possible, the default is left out with a warning.
	Verify      int
	VerifyGiven bool
	// VerifyTree compares whole file trees, too.
	VerifyTree bool
	// VerifyImages are what the command verify is to compare, as full references in Image; empty in every other run.
	VerifyImages []string
	// EvalBaseMaxAge is how old an eval-base image may be and still be used; 0 is any age.
	EvalBaseMaxAge time.Duration

	// ForceBuild builds also what the registry has.
	ForceBuild bool
	// DryRun prints the plan and builds nothing. SDKRef and Builder may then be empty.
	DryRun bool
	// Format is how a dry run prints on a command line: "text" or "json".
	Format string
	// MaxWorkers is the number of images built at once, at least 1.
	MaxWorkers int
	// MaxRetries is how many attempts at an image may follow the first one, at least 0.
	MaxRetries int
	// BatchSize is the number of finished images after which disk and cache are looked at, at least 1.
	BatchSize int
	// CacheMode is what BuildKit exports as registry cache: "off", "min" or "max".
	CacheMode string
	// ImageTimeout bounds one image's build.
	ImageTimeout time.Duration

	// Builder is a buildx builder to adopt by name, or the unix:// or tcp:// address of a buildkitd. Empty means one of
	// the run's own, which BuildkitdConfig, a buildkitd.toml, is for.
	Builder, BuildkitdConfig string
	// KeepStorageGB is what pruning leaves of the builder's cache, in units of 10^9 bytes.
	KeepStorageGB int
	// PruneThreshold is the use of the engine's disk in percent above which the cache is pruned; 100 never prunes.
	PruneThreshold int

	// Registry and BaseRegistry are the credentials for Image's host and for the base images' host.
	Registry, BaseRegistry Credentials

	// HFToken is the hub's; empty means anonymous.
	HFToken string

	// BuildDir is where ledger, logs and summaries go, relative to the workspace.
	BuildDir string
	// Title heads the step summary.
	Title string

	// limitUnused says that n-limit was given, but not used.
	limitUnused bool
}

// Option is one field of the SDK's BuildOptions.
type Option struct{ Name, Value string }

// Credentials are a user's name and password at a registry. Both empty means anonymous.
type Credentials struct{ Username, Password string }

// Benchmark is a preset: the defaults that differ from one benchmark to the next.
type Benchmark struct {
	// Name is what the user types: "swebench".
	Name string
	// Title heads the step summary.
	Title string
	// Dataset and Split name the instance list, as the hub does.
	Dataset, Split string
	// BaseImageTemplate and CustomTagTemplate are the evaluation's own rules.
	BaseImageTemplate, CustomTagTemplate string
	// PrefixVariable is the environment variable that the evaluation reads the beginning of the tag from: "IMAGE_TAG_PREFIX".
	// It is empty where OpenHands/benchmarks builds images, but does not evaluate them.
	PrefixVariable string
	// Wraps say whose base images get Python packages more before the SDK builds upon them.
	Wraps []Wrap
	// MaxWorkers is the benchmark workflow's default.
	MaxWorkers int
	// Selection names the list of those instances of Dataset and Split that an evaluation uses when none are chosen;
	// empty means all.
	Selection string
	// Filled is a column of the dataset; an instance in which it is blank has no image. The instances are dropped after
	// sampling, as OpenHands/benchmarks does. Empty means none.
	Filled string
}
