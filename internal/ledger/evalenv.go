package ledger

import (
	"slices"
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// EvalEnv holds the facts about the images that SWT-Bench's evaluation runs in.
type EvalEnv struct {
	Prefix     string `json:"image_prefix"`
	Repository string `json:"swt_bench_repository"`
	Ref        string `json:"swt_bench_ref"`
	SHA        Text   `json:"swt_bench_sha"`
	// Instances is the number of instances that the images are for. Planned is the number of images, the base among them, and of
	// instances whose environment is not known.
	Instances int `json:"instances"`
	Planned   int `json:"planned"`
	// Images are in the order in which they ended; in a dry run they say what would be done.
	Images []EvalEnvImage `json:"images"`
	// Stale are images for other instances that the evaluation throws away now, because their base is newer.
	Stale []string `json:"stale"`
	// Problem is why the images could not be made, or empty.
	Problem Text `json:"problem"`
	// Ledger and Summary are the paths of the files.
	Ledger  Text `json:"manifest"`
	Summary Text `json:"summary"`
}

// EvalEnvImage is one of these images, or an instance whose environment is not known.
type EvalEnvImage struct {
	Name    string         `json:"name"`
	Base    bool           `json:"base"`
	Tags    []string       `json:"tags"`
	Digest  Text           `json:"digest"`
	Status  outcome.Status `json:"status"`
	Seconds float64        `json:"seconds"`
	Error   Text           `json:"error"`
	Class   Text           `json:"error_class"`
	LogPath Text           `json:"log_path"`
}

// EvalEnvImageOf returns the image of an entry.
func EvalEnvImageOf(e Entry, base bool) EvalEnvImage {
	image := EvalEnvImage{
		Name: e.InstanceID, Base: base, Tags: e.Tags, Digest: e.Digest, Status: e.Status,
		Error: e.Error, Class: e.ErrorClass, LogPath: e.LogPath,
	}
	if e.DurationSeconds != nil {
		image.Seconds = *e.DurationSeconds
	}
	return image
}

// Count counts the images with a status.
func (e EvalEnv) Count(status outcome.Status) (n int) {
	for _, image := range e.Images {
		if image.Status == status {
			n++
		}
	}
	return n
}

// Missing counts the images that do not exist now.
func (e EvalEnv) Missing() int { return e.Planned - e.Count(outcome.Built) - e.Count(outcome.Skipped) }

// TooManyEnvironmentsMissing reports whether the run fails because of missing environment images.
func (r Run) TooManyEnvironmentsMissing() bool {
	return r.EvalEnv != nil && 100*r.EvalEnv.Missing() > r.MissingAllowedPercent*r.EvalEnv.Planned
}

// EvalEnvSummary is eval-env-summary.json. The names are those of OpenHands/benchmarks, which shows this file in its reports.
type EvalEnvSummary struct {
	Dataset     string            `json:"dataset"`
	Split       string            `json:"split"`
	Instances   []string          `json:"instances"`
	BaseImages  []string          `json:"base_images"`
	EnvImages   []string          `json:"env_images"`
	ImagePrefix string            `json:"image_prefix"`
	Arch        string            `json:"arch"`
	Summary     EvalEnvNumbers    `json:"summary"`
	Commit      Text              `json:"swt_bench_sha"`
	Failed      map[string]string `json:"failed_images"`
}

// EvalEnvNumbers are the numbers of an EvalEnvSummary. BuildKit pushes as it builds, so no time is counted as a push.
type EvalEnvNumbers struct {
	TotalBase        int      `json:"total_base_images"`
	BuiltBase        int      `json:"built_base_images"`
	SkippedBase      int      `json:"skipped_base_images"`
	TotalEnv         int      `json:"total_env_images"`
	SelectedEnv      int      `json:"selected_env_instances"`
	BuiltEnv         int      `json:"built_env_images"`
	SkippedEnv       int      `json:"skipped_env_images"`
	FailedEnv        int      `json:"failed_env_images"`
	BaseBuildSeconds float64  `json:"base_build_seconds"`
	EnvBuildSeconds  float64  `json:"env_build_seconds"`
	PushSeconds      float64  `json:"push_seconds"`
	WallClockSeconds float64  `json:"wall_clock_seconds"`
	BatchCount       int      `json:"batch_count"`
	Batches          []string `json:"batches"` // always empty: images are not built in batches
}

// SummarizeEvalEnv returns the summary of environment images. bases and environments are the keys of the planned ones.
func SummarizeEvalEnv(run Run, instances, bases, environments []string, took time.Duration) EvalEnvSummary {
	e := *run.EvalEnv
	s := EvalEnvSummary{
		Dataset: run.Dataset, Split: run.Split, Instances: append([]string{}, instances...), BaseImages: append([]string{}, bases...),
		EnvImages: append([]string{}, environments...), ImagePrefix: e.Prefix, Arch: "host", Commit: e.SHA, Failed: map[string]string{},
		Summary: EvalEnvNumbers{
			TotalBase: len(bases), TotalEnv: len(environments), SelectedEnv: len(instances), WallClockSeconds: round(took.Seconds()), Batches: []string{},
		},
	}
	slices.Sort(s.EnvImages)
	for _, image := range e.Images {
		built, skipped, seconds := &s.Summary.BuiltEnv, &s.Summary.SkippedEnv, &s.Summary.EnvBuildSeconds
		if image.Base {
			built, skipped, seconds = &s.Summary.BuiltBase, &s.Summary.SkippedBase, &s.Summary.BaseBuildSeconds
		}
		switch image.Status {
		case outcome.Built:
			*built++
			*seconds = round(*seconds + image.Seconds)
		case outcome.Skipped:
			*skipped++
		default:
			s.Summary.FailedEnv++
			s.Failed[image.Name] = string(image.Error)
		}
	}
	return s
}
