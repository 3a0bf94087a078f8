package ledger

import (
	"maps"
	"time"
)

// Run holds the facts of a run that no single image has.
type Run struct {
	Title     string `json:"title"`
	Benchmark string `json:"benchmark"`
	Dataset   string `json:"dataset"`
	Split     string `json:"split"`
	// InstancesFrom says in words where the list of instances was read.
	InstancesFrom Text `json:"instances_from"`
	// Shard is this run's part of the plan, "2/4"; empty where it had all of it. PlannedTotal is how many images all parts
	// have together.
	Shard        Text `json:"shard"`
	PlannedTotal int  `json:"planned_total"`
	// MergedFrom counts the runs that a summary was merged from, and MissingShards are the parts of the plan that none of
	// them had. A run's own summary has none of both.
	MergedFrom    int    `json:"merged_from"`
	MissingShards []Text `json:"missing_shards"`

	SDKRepository string `json:"sdk_repository"`
	SDKRef        string `json:"sdk_ref"`
	SDKSHA        Text   `json:"sdk_sha"`
	SDKVersion    Text   `json:"sdk_version"`
	// Seam is how the sdist reaches the SDK: native-field, intercept or none.
	Seam Text `json:"seam"`

	Strategy string `json:"strategy"`
	// Image is the repository that was pushed to, without a tag.
	Image string `json:"image"`
	// ImageTagPrefix is the beginning of the tags by which an evaluation pulls these images: its IMAGE_TAG_PREFIX or, of
	// swesmith, its SDK_SHORT_SHA.
	ImageTagPrefix Text   `json:"image_tag_prefix"`
	Builder        string `json:"builder"`
	CacheMode      string `json:"cache_mode"`
	Workers        int    `json:"workers"`
	// Options are the SDK options of the run: BuildOptions fields by name.
	Options map[string]string `json:"sdk_options"`

	Sdist Sdist `json:"sdist"`
	// Phases are in the order in which they ended. Some run at once (sdist and import), so they do not add up.
	Phases   []Phase  `json:"phases"`
	Warnings []string `json:"warnings"`
	// Pruned are the prunes of the builder's cache.
	Pruned []Pruning `json:"pruned"`
	// Rebase is zero where nothing was to be rebased.
	Rebase Rebase `json:"rebase"`

	Started   time.Time `json:"-"` // in JSON these two are the summary's own
	Finished  time.Time `json:"-"`
	Cancelled bool      `json:"cancelled"`
	// Planned is how many images were asked for.
	Planned int `json:"planned"`
	// SetupError is why the run ended before its builds; empty when they were reached.
	SetupError Text `json:"setup_error"`
	// RecordErrors say what of the run's own record could not be written. A run that has any has failed.
	RecordErrors []string `json:"record_errors"`

	Files Files `json:"files"`
}

// Sdist is the source distribution that a run makes of the SDK, once, for all its images.
type Sdist struct {
	SHA256  Text    `json:"sha256"`
	Seconds float64 `json:"seconds"`
	// Error is why there is none; each image has then made its own.
	Error Text `json:"error"`
}

// Phase is a part of the run and its wall seconds.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Pruning is one prune of the builder's cache.
type Pruning struct {
	At time.Time `json:"at"`
	// DiskUsedPercent is how full the engine's disk was before it; 100 where a build had found it full.
	DiskUsedPercent float64 `json:"disk_used_percent"`
	FreedBytes      int64   `json:"freed_bytes"`
}

// normal is r with the milliseconds that the ledger has, and with lists that are empty rather than null in JSON.
func (r Run) normal() Run {
	r.Started, r.Finished = moment(r.Started), moment(r.Finished)
	r.Sdist.Seconds = round(r.Sdist.Seconds)
	phases := make([]Phase, len(r.Phases))
	for i, p := range r.Phases {
		phases[i] = Phase{Name: p.Name, Seconds: round(p.Seconds)}
	}
	r.Phases = phases
	r.Warnings = append([]string{}, r.Warnings...)
	r.RecordErrors = append([]string{}, r.RecordErrors...)
	pruned := make([]Pruning, len(r.Pruned))
	for i, p := range r.Pruned {
		pruned[i] = Pruning{At: moment(p.At), DiskUsedPercent: round(p.DiskUsedPercent), FreedBytes: p.FreedBytes}
	}
	r.Pruned = pruned
	r.Rebase = r.Rebase.normal()
	r.MissingShards = append([]Text{}, r.MissingShards...)
	options := map[string]string{}
	maps.Copy(options, r.Options)
	r.Options = options
	return r
}

// BuildPhase names the phase in which images are built; throughput is measured over it.
const BuildPhase = "build"

// Files says where the run's files are, relative to the workspace: a container's own paths mean nothing to the steps
// after it. A file that was not written has no path.
type Files struct {
	Ledger   Text `json:"manifest"`
	Summary  Text `json:"summary"`
	LockFile Text `json:"lock_file"`
	// Logs is the folder of the images' logs.
	Logs Text `json:"logs"`
}
