package ledger

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Summary is what a run comes to: build-summary.json. The names up to FailedBuilds are those of OpenHands/benchmarks
// (build_manifest.py, BuildManifestSummary), with two of its meanings made stricter: the run's times are the whole run's,
// and Total counts what was asked for even where no record says what came of it.
type Summary struct {
	ManifestFiles int `json:"manifest_files"`
	Total         int `json:"total"`
	Successful    int `json:"successful"`
	Built         int `json:"built"`
	Skipped       int `json:"skipped"`
	// Failed counts the records of failure, those of cancelled images among them.
	Failed  int `json:"failed"`
	Retried int `json:"retried"`

	StartedAt        time.Time `json:"started_at"`
	FinishedAt       time.Time `json:"finished_at"`
	WallClockSeconds float64   `json:"wall_clock_seconds"`
	Totals
	// The build times are of built images only.
	AverageBuildSeconds *float64 `json:"average_build_seconds"`
	MedianBuildSeconds  *float64 `json:"median_build_seconds"`
	MaxBuildSeconds     *float64 `json:"max_build_seconds"`

	StatusCounts  map[outcome.Status]int `json:"status_counts"`
	SkipReasons   map[Text]int           `json:"skip_reasons"`
	SlowestBuilds []SlowBuild            `json:"slowest_builds"`
	FailedBuilds  []FailedBuild          `json:"failed_builds"`

	// Cancelled counts those of Failed that the end of the run cut off or kept from starting; NotStarted the images
	// that were asked for and have no record at all.
	Cancelled       int                   `json:"cancelled"`
	NotStarted      int                   `json:"not_started"`
	FailuresByClass map[failure.Class]int `json:"failures_by_class"`
	// ImagesPerHour is the throughput of the builds; skipped images do not count.
	ImagesPerHour         float64 `json:"images_per_hour"`
	BuildWallClockSeconds float64 `json:"build_wall_clock_seconds"`
	// BuildPercentiles are seconds of built images: p50, p90, p99.
	BuildPercentiles map[string]float64 `json:"build_seconds_percentiles"`
	// SdistBuilds counts all `uv build --sdist` runs: the run's own and those that images had to make.
	SdistBuilds int `json:"sdist_builds"`
	// Wrapped counts the built images whose base image was wrapped before, by what it was wrapped with.
	Wrapped map[Text]int `json:"wrapped"`
	// Strategies counts the built images by how they were made.
	Strategies map[Text]int `json:"strategies"`
	// Refusals counts the images that could not be rebased, built or failed, by the reason; RefusedInstances names some of
	// them, in alphabetical order.
	Refusals         map[Text]int      `json:"refusals"`
	RefusedInstances map[Text][]string `json:"refused_instances"`
	Run              Run               `json:"run"`
}

// SlowBuild is one of the images that took longest.
type SlowBuild struct {
	BaseImage       string         `json:"base_image"`
	DurationSeconds float64        `json:"duration_seconds"`
	AttemptCount    int            `json:"attempt_count"`
	Status          outcome.Status `json:"status"`
	InstanceID      string         `json:"instance_id"`
}

// FailedBuild is an image that is not there.
type FailedBuild struct {
	BaseImage    string        `json:"base_image"`
	Error        string        `json:"error"`
	AttemptCount int           `json:"attempt_count"`
	InstanceID   string        `json:"instance_id"`
	Class        failure.Class `json:"error_class"`
	ReturnCode   *int          `json:"error_return_code"`
	LogPath      Text          `json:"log_path"`
}

// slowest is how many of the slowest builds a summary names, as in the benchmarks repository.
const slowest = 5

// Summarize adds up a run and its records, in any order.
func Summarize(run Run, entries []Entry) Summary {
	run = run.normal()
	s := Summary{
		ManifestFiles: 1,
		StartedAt:     run.Started, FinishedAt: run.Finished,
		WallClockSeconds: round(run.Finished.Sub(run.Started).Seconds()),
		Totals:           totals(entries),
		StatusCounts:     map[outcome.Status]int{}, SkipReasons: map[Text]int{}, FailuresByClass: map[failure.Class]int{},
		SlowestBuilds: []SlowBuild{}, FailedBuilds: []FailedBuild{}, Wrapped: map[Text]int{},
		Strategies: map[Text]int{}, Refusals: map[Text]int{}, RefusedInstances: map[Text][]string{},
		Run: run,
	}
	if run.Sdist.SHA256 != "" || run.Sdist.Error != "" {
		s.SdistBuilds++
	}
	for _, e := range entries {
		s.count(e)
	}
	s.Total = max(run.Planned, len(entries))
	s.NotStarted = s.Total - len(entries)
	s.Successful = s.Built + s.Skipped
	s.time(entries)
	s.name(entries)
	slices.SortFunc(s.FailedBuilds, func(a, b FailedBuild) int { return strings.Compare(a.InstanceID, b.InstanceID) })
	return s
}

func (s *Summary) count(e Entry) {
	s.StatusCounts[e.Status]++
	s.SdistBuilds += e.SdistBuilds
	if e.AttemptCount > 1 {
		s.Retried++
	}
	if e.StrategyReason != "" {
		s.Refusals[e.StrategyReason]++
	}
	switch e.Status {
	case outcome.Built:
		s.Built++
		if e.Strategy != "" {
			s.Strategies[e.Strategy]++
		}
		if e.Wrapped != "" {
			s.Wrapped[e.Wrapped]++
		}
	case outcome.Skipped:
		s.Skipped++
		s.SkipReasons[e.SkipReason]++
	default:
		s.Failed++
		class := failure.Class(e.ErrorClass)
		s.FailuresByClass[class]++
		if class == failure.ClassCancelled {
			s.Cancelled++
		}
		s.FailedBuilds = append(s.FailedBuilds, FailedBuild{
			BaseImage: e.BaseImage, Error: string(e.Error), AttemptCount: e.AttemptCount,
			InstanceID: e.InstanceID, Class: class, ReturnCode: e.ErrorReturnCode, LogPath: e.LogPath,
		})
	}
}

// time works out what depends on how long the built images took.
func (s *Summary) time(entries []Entry) {
	var builds []SlowBuild
	for _, e := range entries {
		if e.Status == outcome.Built && e.DurationSeconds != nil {
			builds = append(builds, SlowBuild{e.BaseImage, *e.DurationSeconds, e.AttemptCount, e.Status, e.InstanceID})
		}
	}
	s.BuildWallClockSeconds = round(buildWall(s.Run, entries))
	if s.BuildWallClockSeconds > 0 {
		s.ImagesPerHour = round(float64(s.Built) / s.BuildWallClockSeconds * 3600)
	}
	if len(builds) == 0 {
		return
	}
	slices.SortFunc(builds, func(a, b SlowBuild) int {
		return cmp.Or(cmp.Compare(b.DurationSeconds, a.DurationSeconds), strings.Compare(a.InstanceID, b.InstanceID))
	})
	s.SlowestBuilds = builds[:min(slowest, len(builds))]
	seconds := make([]float64, len(builds))
	for i, b := range builds {
		seconds[len(builds)-1-i] = b.DurationSeconds
	}
	average, median, longest := round(mean(seconds)), round(median(seconds)), seconds[len(seconds)-1]
	s.AverageBuildSeconds, s.MedianBuildSeconds, s.MaxBuildSeconds = &average, &median, &longest
	s.BuildPercentiles = map[string]float64{
		"p50": percentile(seconds, 50), "p90": percentile(seconds, 90), "p99": percentile(seconds, 99),
	}
}

// buildWall is the wall time in seconds during which images were built: the build phase, or, in a run that was cut off
// in the middle of it, the time from the first image's start to the last one's end.
func buildWall(run Run, entries []Entry) float64 {
	for _, p := range run.Phases {
		if p.Name == BuildPhase {
			return p.Seconds
		}
	}
	var first, end time.Time
	for _, e := range entries {
		if e.AttemptCount == 0 || e.StartedAt == nil || e.FinishedAt == nil {
			continue
		}
		if first.IsZero() || e.StartedAt.Before(first) {
			first = *e.StartedAt
		}
		if e.FinishedAt.After(end) {
			end = *e.FinishedAt
		}
	}
	return end.Sub(first).Seconds()
}
