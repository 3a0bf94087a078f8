package ledger

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Summary is the result of a run: build-summary.json. The names up to FailedBuilds are those of OpenHands/benchmarks
// (build_manifest.py, BuildManifestSummary). Two differ in meaning: the times are those of the whole run, and Total also
// counts requested images that have no entry.
type Summary struct {
	Schema        int `json:"schema"`
	ManifestFiles int `json:"manifest_files"`
	Total         int `json:"total"`
	Successful    int `json:"successful"`
	Built         int `json:"built"`
	Skipped       int `json:"skipped"`
	// Failed counts failed entries, including cancelled images, but not those of NotStarted. Total is the sum of Built, Skipped,
	// Failed and NotStarted.
	Failed  int `json:"failed"`
	Retried int `json:"retried"`

	StartedAt        time.Time `json:"started_at"`
	FinishedAt       time.Time `json:"finished_at"`
	WallClockSeconds float64   `json:"wall_clock_seconds"`
	Totals
	// The build times cover built images only.
	AverageBuildSeconds *float64 `json:"average_build_seconds"`
	MedianBuildSeconds  *float64 `json:"median_build_seconds"`
	MaxBuildSeconds     *float64 `json:"max_build_seconds"`

	StatusCounts  map[outcome.Status]int `json:"status_counts"`
	SkipReasons   map[Text]int           `json:"skip_reasons"`
	SlowestBuilds []SlowBuild            `json:"slowest_builds"`
	FailedBuilds  []FailedBuild          `json:"failed_builds"`

	// Cancelled counts the entries of Failed that a cancel stopped or kept from starting. NotStarted counts the images that were not
	// begun because of the deadline, and requested images without an entry.
	Cancelled       int                   `json:"cancelled"`
	NotStarted      int                   `json:"not_started"`
	FailuresByClass map[failure.Class]int `json:"failures_by_class"`
	// RetriesByClass counts the failed attempts at images that another attempt followed.
	RetriesByClass map[failure.Class]int `json:"retries_by_class"`
	// ImagesPerHour is the number of built images per hour of BuildWallClockSeconds.
	ImagesPerHour         float64 `json:"images_per_hour"`
	BuildWallClockSeconds float64 `json:"build_wall_clock_seconds"`
	// BuildPercentiles are build times in seconds: p50, p90, p99.
	BuildPercentiles map[string]float64 `json:"build_seconds_percentiles"`
	// TimesByStrategy are the times of the built images by strategy: a rebase takes seconds, a native build minutes.
	TimesByStrategy map[Text]BuildTimes `json:"build_seconds_by_strategy"`
	// SdistBuilds counts all runs of `uv build --sdist`: the run's own and those of images.
	SdistBuilds int `json:"sdist_builds"`
	// Wrapped counts the built images whose base image got additional pip packages first, by the pip requirements.
	Wrapped map[Text]int `json:"wrapped"`
	// Strategies counts the built images by strategy: native or rebase.
	Strategies map[Text]int `json:"strategies"`
	// Refusals counts the images that could not be rebased, whether built or failed, by reason. RefusedInstances lists the
	// first few instances of each reason in alphabetical order.
	Refusals         map[Text]int      `json:"refusals"`
	RefusedInstances map[Text][]string `json:"refused_instances"`
	Run              Run               `json:"run"`
}

// SlowBuild is one of the slowest built images.
type SlowBuild struct {
	BaseImage       string         `json:"base_image"`
	DurationSeconds float64        `json:"duration_seconds"`
	AttemptCount    int            `json:"attempt_count"`
	Status          outcome.Status `json:"status"`
	InstanceID      string         `json:"instance_id"`
}

// FailedBuild is an image that failed.
type FailedBuild struct {
	BaseImage    string        `json:"base_image"`
	Error        string        `json:"error"`
	AttemptCount int           `json:"attempt_count"`
	InstanceID   string        `json:"instance_id"`
	Class        failure.Class `json:"error_class"`
	ReturnCode   *int          `json:"error_return_code"`
	LogPath      Text          `json:"log_path"`
	// Output has the last lines of the failed command's output.
	Output Text `json:"error_output"`
	Shard  Text `json:"shard"` // only in a merge
}

// maxOutputLines limits FailedBuild.Output. The ledger has more.
const maxOutputLines = 15

// lastLines returns the last n lines of text that are not blank.
func lastLines(text Text, n int) Text {
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	return Text(strings.ToValidUTF8(strings.Join(lines[max(0, len(lines)-n):], "\n"), "\uFFFD"))
}

// BuildTimes are percentiles of the times of built images, in seconds.
type BuildTimes struct {
	Images int     `json:"images"`
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// maxSlowest limits SlowestBuilds, as in OpenHands/benchmarks.
const maxSlowest = 5

// maxRefusedInstances limits the instances listed for each reason.
const maxRefusedInstances = 5

// Summarize returns the summary of a run and its entries, which may come in any order.
func Summarize(run Run, entries []Entry) Summary {
	run = run.normalized()
	s := Summary{
		Schema: Schema, ManifestFiles: 1,
		StartedAt: run.Started, FinishedAt: run.Finished,
		WallClockSeconds: round(run.Finished.Sub(run.Started).Seconds()),
		Totals:           totals(entries),
		StatusCounts:     map[outcome.Status]int{}, SkipReasons: map[Text]int{}, FailuresByClass: map[failure.Class]int{},
		RetriesByClass: map[failure.Class]int{},
		SlowestBuilds:  []SlowBuild{}, FailedBuilds: []FailedBuild{}, Wrapped: map[Text]int{},
		TimesByStrategy: map[Text]BuildTimes{},
		Strategies:      map[Text]int{}, Refusals: map[Text]int{}, RefusedInstances: map[Text][]string{},
		Run: run,
	}
	if run.Sdist.SHA256 != "" || run.Sdist.Error != "" {
		s.SdistBuilds++
	}
	for _, e := range entries {
		s.count(e)
	}
	s.Total = max(run.Planned, len(entries))
	s.Successful = s.Built + s.Skipped
	s.NotStarted = s.Total - s.Successful - s.Failed
	s.setTimes(entries)
	s.listRefused(entries)
	slices.SortFunc(s.FailedBuilds, func(a, b FailedBuild) int { return strings.Compare(a.InstanceID, b.InstanceID) })
	return s
}

func (s *Summary) count(e Entry) {
	s.StatusCounts[e.Status]++
	s.SdistBuilds += e.SdistBuilds
	if e.AttemptCount > 1 {
		s.Retried++
	}
	for _, a := range e.Attempts[:max(len(e.Attempts), 1)-1] {
		if a.Class != "" {
			s.RetriesByClass[failure.Class(a.Class)]++
		}
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
		class := failure.Class(e.ErrorClass)
		s.FailuresByClass[class]++
		if class != failure.ClassNotStarted {
			s.Failed++
		}
		if class == failure.ClassCancelled {
			s.Cancelled++
		}
		s.FailedBuilds = append(s.FailedBuilds, FailedBuild{
			BaseImage: e.BaseImage, Error: string(e.Error), AttemptCount: e.AttemptCount,
			InstanceID: e.InstanceID, Class: class, ReturnCode: e.ErrorReturnCode, LogPath: e.LogPath,
			Output: lastLines(e.ErrorOutput, maxOutputLines), Shard: e.Shard,
		})
	}
}

// Missing counts the requested images that do not exist now.
func (s Summary) Missing() int { return s.Failed + s.NotStarted }

// TooManyMissing reports whether the run fails because of missing images: more than MissingAllowedPercent of the requested ones.
func (s Summary) TooManyMissing() bool {
	return 100*s.Missing() > s.Run.MissingAllowedPercent*s.Total
}

// Fails reports whether the run fails: it was killed, its set-up failed, too many images are missing, of the agent or of environments, the
// verification failed, or the record is incomplete.
func (s Summary) Fails() bool {
	return s.Run.Killed || s.Run.SetupError != "" || s.TooManyMissing() || s.Run.TooManyEnvironmentsMissing() || s.Run.VerifyFailed() || len(s.Run.RecordErrors) > 0
}

// setTimes sets the fields that depend on the times of the built images.
func (s *Summary) setTimes(entries []Entry) {
	var builds []SlowBuild
	byStrategy := map[Text][]float64{}
	for _, e := range entries {
		if e.Status == outcome.Built && e.DurationSeconds != nil {
			builds = append(builds, SlowBuild{e.BaseImage, *e.DurationSeconds, e.AttemptCount, e.Status, e.InstanceID})
			byStrategy[e.Strategy] = append(byStrategy[e.Strategy], *e.DurationSeconds)
		}
	}
	for strategy, seconds := range byStrategy {
		slices.Sort(seconds)
		s.TimesByStrategy[strategy] = BuildTimes{len(seconds), percentile(seconds, 50), percentile(seconds, 90), seconds[len(seconds)-1]}
	}
	s.BuildWallClockSeconds = round(buildWallClock(s.Run, entries))
	if s.BuildWallClockSeconds > 0 {
		s.ImagesPerHour = round(float64(s.Built) / s.BuildWallClockSeconds * 3600)
	}
	if len(builds) == 0 {
		return
	}
	slices.SortFunc(builds, func(a, b SlowBuild) int {
		return cmp.Or(cmp.Compare(b.DurationSeconds, a.DurationSeconds), strings.Compare(a.InstanceID, b.InstanceID))
	})
	s.SlowestBuilds = builds[:min(maxSlowest, len(builds))]
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

// buildWallClock returns the duration of the build phase in seconds. Where the run ended before that phase did, it returns the
// time from the first start of an image to the last end.
func buildWallClock(run Run, entries []Entry) float64 {
	for _, p := range run.Phases {
		if p.Name == BuildPhase {
			return p.Seconds
		}
	}
	var first, last time.Time
	for _, e := range entries {
		if e.AttemptCount == 0 || e.StartedAt == nil || e.FinishedAt == nil {
			continue
		}
		if first.IsZero() || e.StartedAt.Before(first) {
			first = *e.StartedAt
		}
		if e.FinishedAt.After(last) {
			last = *e.FinishedAt
		}
	}
	return last.Sub(first).Seconds()
}

// listRefused sets RefusedInstances.
func (s *Summary) listRefused(entries []Entry) {
	for _, e := range slices.SortedFunc(slices.Values(entries), compareIDs) {
		if listed := s.RefusedInstances[e.StrategyReason]; e.StrategyReason != "" && len(listed) < maxRefusedInstances {
			s.RefusedInstances[e.StrategyReason] = append(listed, e.InstanceID)
		}
	}
}

// StrategyUsed returns how the built images were made: native, rebase, or mixed when some could not be rebased. References are
// always built natively and do not count. The result is empty when no image was built.
func (s Summary) StrategyUsed() string {
	switch {
	case s.Built == 0:
		return ""
	case s.Strategies[outcome.Rebase] == 0:
		return outcome.Native
	case len(s.Refusals) > 0:
		return "mixed"
	default:
		return outcome.Rebase
	}
}

// Totals are sums over all entries. The SDK's steps and the images run concurrently, so these sums show where work went,
// not how long the run took.
type Totals struct {
	DurationSeconds           float64 `json:"cumulative_duration_seconds"`
	RemoteCheckSeconds        float64 `json:"cumulative_remote_check_seconds"`
	BuildSeconds              float64 `json:"cumulative_build_seconds"`
	PostBuildSeconds          float64 `json:"cumulative_post_build_seconds"`
	SDKBuildContextSeconds    float64 `json:"cumulative_sdk_build_context_seconds"`
	SDKBuildxWallClockSeconds float64 `json:"cumulative_sdk_buildx_wall_clock_seconds"`
	SDKCleanupSeconds         float64 `json:"cumulative_sdk_cleanup_seconds"`
	SDKCacheImportSeconds     float64 `json:"cumulative_sdk_cache_import_seconds"`
	SDKCacheExportSeconds     float64 `json:"cumulative_sdk_cache_export_seconds"`
	SDKImageExportSeconds     float64 `json:"cumulative_sdk_image_export_seconds"`
	SDKPushLayersSeconds      float64 `json:"cumulative_sdk_push_layers_seconds"`
	SDKExportManifestSeconds  float64 `json:"cumulative_sdk_export_manifest_seconds"`
	SDKCacheImportMisses      int     `json:"cumulative_sdk_cache_import_misses"`
	SDKCachedSteps            int     `json:"cumulative_sdk_cached_steps"`
}

func totals(entries []Entry) Totals {
	var t Totals
	for _, e := range entries {
		add(&t.DurationSeconds, e.DurationSeconds)
		add(&t.RemoteCheckSeconds, e.RemoteCheckSeconds)
		add(&t.BuildSeconds, e.BuildSeconds)
		add(&t.PostBuildSeconds, e.PostBuildSeconds)
		add(&t.SDKBuildContextSeconds, e.BuildContextSeconds)
		add(&t.SDKBuildxWallClockSeconds, e.BuildxWallClockSeconds)
		add(&t.SDKCleanupSeconds, e.CleanupSeconds)
		add(&t.SDKCacheImportSeconds, e.CacheImportSeconds)
		add(&t.SDKCacheExportSeconds, e.CacheExportSeconds)
		add(&t.SDKImageExportSeconds, e.ImageExportSeconds)
		add(&t.SDKPushLayersSeconds, e.PushLayersSeconds)
		add(&t.SDKExportManifestSeconds, e.ExportManifestSeconds)
		if e.CacheImportMissCount != nil {
			t.SDKCacheImportMisses += *e.CacheImportMissCount
		}
		if e.CachedStepCount != nil {
			t.SDKCachedSteps += *e.CachedStepCount
		}
	}
	return t
}

// add rounds the sum to milliseconds each time, so that floating-point errors do not accumulate.
func add(sum, value *float64) {
	if value != nil {
		*sum = round(*sum + *value)
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// median returns the middle value of sorted, or the mean of the middle two.
func median(sorted []float64) float64 {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return mean(sorted[middle-1 : middle+1])
}

// percentile returns the smallest value of sorted that is at least as large as p percent of the values (nearest rank).
func percentile(sorted []float64, p int) float64 {
	rank := int(math.Ceil(float64(p) / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
