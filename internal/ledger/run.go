package ledger

import (
	"maps"
	"time"
)

// Run holds the facts about a run as a whole.
type Run struct {
	Title     string `json:"title"`
	Benchmark string `json:"benchmark"`
	Dataset   string `json:"dataset"`
	Split     string `json:"split"`
	// InstancesFrom says where the list of instances was read.
	InstancesFrom Text `json:"instances_from"`
	// Shard is this run's part of the plan, such as "2/4", or empty for the whole plan. PlannedTotal is the number of images in
	// all shards.
	Shard        Text `json:"shard"`
	PlannedTotal int  `json:"planned_total"`
	// MergedFrom is the number of runs that a merged summary was made of, and MissingShards are the shards without a run. Both
	// are empty in a run's own summary.
	MergedFrom    int    `json:"merged_from"`
	MissingShards []Text `json:"missing_shards"`
	// Shards are the shards that a merged summary was made of.
	Shards []Shard `json:"shards,omitempty"`
	// URL is the page of the workflow run, and Artifact the name of the artifact that a later step uploads the files as. Both are
	// empty where that is not known.
	URL      Text `json:"run_url"`
	Artifact Text `json:"artifact"`

	SDKRepository string `json:"sdk_repository"`
	SDKRef        string `json:"sdk_ref"`
	SDKSHA        Text   `json:"sdk_sha"`
	SDKVersion    Text   `json:"sdk_version"`
	// Seam is how the sdist reaches the SDK: native-field, intercept or none.
	Seam Text `json:"seam"`

	Strategy string `json:"strategy"`
	// Image is the repository that images are pushed to, without a tag.
	Image string `json:"image"`
	// ImageTagPrefix is the prefix of the tags that an evaluation pulls: the value of its IMAGE_TAG_PREFIX, or of SDK_SHORT_SHA
	// for swesmith.
	ImageTagPrefix Text   `json:"image_tag_prefix"`
	Builder        string `json:"builder"`
	CacheMode      string `json:"cache_mode"`
	Workers        int    `json:"workers"`
	// DeadlineSeconds is the deadline, counted from Started; 0 is none. MissingAllowedPercent is the percentage of the requested
	// images that may be missing before the run fails: 0 for `fail-on: any`, 100 for never.
	DeadlineSeconds       float64 `json:"deadline_seconds"`
	MissingAllowedPercent int     `json:"missing_allowed_percent"`
	// Options are the SDK's BuildOptions fields that the run sets, by name.
	Options map[string]string `json:"sdk_options"`

	Sdist Sdist `json:"sdist"`
	// Phases are in the order in which they ended. sdist and import run concurrently, so the phases do not add up to the total.
	Phases []Phase `json:"phases"`
	// Beside is work for instances beside that on their images: base stages and builds for comparison. It takes slots, too.
	Beside   []Work   `json:"beside"`
	Warnings []string `json:"warnings"`
	// Pruned lists the prunes of the builder's cache.
	Pruned []Pruning `json:"pruned"`
	// AskedAgain counts the requests to registries that the run sent again after a failure, by class of failure, without those of
	// BuildKit. They are no attempts at an image.
	AskedAgain map[string]int `json:"asked_again,omitempty"`
	// EvalEnv is null when no environment images were asked for.
	EvalEnv *EvalEnv `json:"eval_env,omitempty"`
	// Rebase has only the requests where no image was to be rebased.
	Rebase Rebase `json:"rebase"`

	Started   time.Time `json:"-"` // in JSON, Started and Finished are fields of the summary
	Finished  time.Time `json:"-"`
	Cancelled bool      `json:"cancelled"`
	// Killed says that the run ended before it could report: the runner kills it 10 s after a cancel, and the kernel when memory runs out.
	// Finished is the end of its last image then.
	Killed bool `json:"killed,omitempty"`
	// StoppedForDeadline says that the deadline ended the run, or kept it from beginning images.
	StoppedForDeadline bool `json:"stopped_for_deadline"`
	// Planned is the number of requested images.
	Planned int `json:"planned"`
	// SetupError is why the run ended before its builds, or empty.
	SetupError Text `json:"setup_error"`
	// RecordErrors say which parts of the record could not be written. A run with such errors fails.
	RecordErrors []string `json:"record_errors"`

	Files Files `json:"files"`
}

// Sdist is the source distribution of the SDK, which a run builds once for all images. Each shard builds one; a merged record has the one
// that took longest.
type Sdist struct {
	SHA256  Text    `json:"sha256"`
	Seconds float64 `json:"seconds"`
	// Error is why it could not be built. Each image then built its own.
	Error Text `json:"error"`
}

// Phase is a part of the run and its duration in wall-clock seconds. StartedAt is null in the records of older versions.
type Phase struct {
	Name      string     `json:"name"`
	Seconds   float64    `json:"seconds"`
	StartedAt *time.Time `json:"started_at"`
	// Within is the phase that this one is a part of, or empty.
	Within Text `json:"within"`
}

// End is when the phase ended, or zero where its start is not known.
func (p Phase) End() time.Time {
	if p.StartedAt == nil {
		return time.Time{}
	}
	return after(*p.StartedAt, p.Seconds)
}

// Pruning is one prune of the builder's cache.
type Pruning struct {
	At time.Time `json:"at"`
	// DiskUsedPercent is the usage of the engine's disk before the prune; 100 when a build found the disk full.
	DiskUsedPercent float64 `json:"disk_used_percent"`
	FreedBytes      int64   `json:"freed_bytes"`
}

// normalized returns a copy of r with times truncated to milliseconds, and with empty lists instead of nil ones, so that JSON has
// no null for them.
func (r Run) normalized() Run {
	r.Started, r.Finished = moment(r.Started), moment(r.Finished)
	r.Sdist.Seconds = round(r.Sdist.Seconds)
	phases := make([]Phase, len(r.Phases))
	for i, p := range r.Phases {
		p.Seconds = round(p.Seconds)
		if p.StartedAt != nil {
			started := moment(*p.StartedAt)
			p.StartedAt = &started
		}
		phases[i] = p
	}
	r.Phases = phases
	r.Beside = append([]Work{}, r.Beside...)
	r.Warnings = append([]string{}, r.Warnings...)
	r.RecordErrors = append([]string{}, r.RecordErrors...)
	pruned := make([]Pruning, len(r.Pruned))
	for i, p := range r.Pruned {
		pruned[i] = Pruning{At: moment(p.At), DiskUsedPercent: round(p.DiskUsedPercent), FreedBytes: p.FreedBytes}
	}
	r.Pruned = pruned
	r.Rebase = r.Rebase.normalized()
	r.MissingShards = append([]Text{}, r.MissingShards...)
	options := map[string]string{}
	maps.Copy(options, r.Options)
	r.Options = options
	return r
}

// BuildPhase is the name of the phase that builds the images. ImagesPerHour refers to its duration.
const BuildPhase = "build"

// VerifyPhase is the name of the phase that compares images with native builds.
const VerifyPhase = "verify"

// Files has the paths of the run's files, relative to the workspace: absolute paths of the container mean nothing to later steps.
// The path of a file that was not written is empty.
type Files struct {
	Ledger   Text `json:"manifest"`
	Summary  Text `json:"summary"`
	LockFile Text `json:"lock_file"`
	// Failed has the ids of all missing images, one a line.
	Failed Text `json:"failed"`
	// Report is for a browser, and Trace for a viewer of traces.
	Report Text `json:"report"`
	Trace  Text `json:"trace"`
	// Logs is the folder of the logs.
	Logs Text `json:"logs"`
}
