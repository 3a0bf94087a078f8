// Package ledger records a run: one line of JSON per image, written when the image ends, and a summary of all lines.
package ledger

import (
	"errors"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Entry is the line of one target. Up to CachedStepCount, the field names, types and status values are those of
// OpenHands/benchmarks (build_utils.py, BuildOutput), so that its summarize_build_manifests can read our ledger. The other
// fields are ours. An unknown value is null, never 0.
type Entry struct {
	Time      time.Time      `json:"time"`
	BaseImage string         `json:"base_image"`
	Tags      []string       `json:"tags"` // full references of the image; empty when it failed
	Error     Text           `json:"error"`
	LogPath   Text           `json:"log_path"` // relative to the workspace
	Status    outcome.Status `json:"status"`

	SkipReason   Text `json:"skip_reason"`
	AttemptCount int  `json:"attempt_count"` // 0 when the image already existed or was never started

	// StartedAt is when work on the image began, after the wait for a slot.
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`

	// DurationSeconds covers all attempts and the waits between them, but not the wait for a slot.
	DurationSeconds    *float64 `json:"duration_seconds"`
	RemoteCheckSeconds *float64 `json:"remote_check_seconds"`
	BuildSeconds       *float64 `json:"build_seconds"`
	PostBuildSeconds   *float64 `json:"post_build_seconds"` // always null: nothing happens after the push
	Telemetry

	Schema          int    `json:"schema"` // set by Writer.Append
	InstanceID      string `json:"instance_id"`
	Strategy        Text   `json:"strategy"`
	StrategyReason  Text   `json:"strategy_reason"` // why the image was not rebased
	Digest          Text   `json:"digest"`
	ErrorClass      Text   `json:"error_class"`
	ErrorReturnCode *int   `json:"error_return_code"`
	ErrorOutput     Text   `json:"error_output"` // the last lines of the failed command's output
	SdistBuilds     int    `json:"sdist_builds"`
	Wrapped         Text   `json:"wrapped"` // pip requirements that were added to the base image for this build

	// Phases maps a part of the image's time to its wall-clock seconds: queued, check, build, backoff.
	Phases map[string]float64 `json:"phases"`
	// Spans are what the image did and waited for, in order. Slot is the slot in which it spent most time: "build 2" is the
	// second of max-workers, and "look-up" and "push" are slots for requests.
	Slot  Text   `json:"slot"`
	Spans []Span `json:"spans"`
	// Shard is the shard whose run made the entry, such as "2/4". Only a merged ledger has it.
	Shard Text `json:"shard"`
	// Attempts are all attempts. The times above are sums over them; Telemetry is that of the last build only.
	Attempts []Attempt `json:"attempts"`
}

// Attempt is one attempt at an image.
type Attempt struct {
	Class   Text    `json:"class"` // null, like Error, when the attempt succeeded
	Error   Text    `json:"error"`
	Seconds float64 `json:"seconds"`
}

// FromOutcome returns the entry of a target that has ended.
func FromOutcome(o *outcome.Outcome) Entry {
	finished := moment(o.Finished)
	worked, queued := durations(o)
	spans := spans(o)
	e := Entry{
		Time: finished, BaseImage: o.Target.BaseImage, Tags: []string{}, LogPath: Text(o.LogPath),
		Status: o.Status(), AttemptCount: len(o.Attempts), FinishedAt: &finished,
		RemoteCheckSeconds: secondsOrNil(o.Check), BuildSeconds: secondsOrNil(o.Build), DurationSeconds: secondsOrNil(worked),
		Telemetry: telemetry(o.Telemetry), InstanceID: o.Target.InstanceID, Strategy: Text(o.Strategy),
		StrategyReason: inOneLine(o.NotRebased), SdistBuilds: o.SdistBuilds, Attempts: attempts(o.Attempts),
		Spans: spans, Slot: slotOf(spans),
		Phases: map[string]float64{
			"queued": round(queued.Seconds()), "check": round(o.Check.Seconds()), "build": round(o.Build.Seconds()),
			"backoff": round(o.Waited.Seconds()),
		},
	}
	if worked > 0 {
		started := moment(o.Finished.Add(-worked))
		e.StartedAt = &started
	}
	switch e.Status {
	case outcome.Failed:
		e.setError(o.Err)
		return e
	case outcome.Skipped:
		e.SkipReason = outcome.SkipRemoteExists
	default:
		e.Wrapped = Text(o.Target.PipRequirements)
	}
	// A failed entry has no tags: if they exist in the registry, they may point to another image.
	e.Tags, e.Digest = append(e.Tags, o.Tags...), Text(o.Digest)
	return e
}

// setError records why the target failed.
func (e *Entry) setError(err error) {
	if err == nil {
		e.Error, e.ErrorClass = "the build succeeded but returned no tags", Text(failure.ClassUnknown)
		return
	}
	e.Error, e.ErrorClass = inOneLine(err.Error()), Text(failure.ClassOf(err))
	var failed *failure.Error
	if errors.As(err, &failed) {
		e.ErrorOutput = Text(tail(failed.Tail, maxErrorOutput))
		if failed.ReturnCode != 0 {
			e.ErrorReturnCode = &failed.ReturnCode
		}
	}
}

// maxError limits an error or a reason, in bytes. Registries, builds and images decide what is in it.
const maxError = 1000

// inOneLine returns the text of an error without line breaks and invisible characters. OpenHands/benchmarks prints it unescaped, and the
// runner (actions/runner, ActionCommand.cs) executes a line that begins with "::", or that has "##[" anywhere.
func inOneLine(text string) Text {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsSpace(r) && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)) {
			return -1
		}
		return r
	}, text)
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "##[", "# #[")
	if strings.HasPrefix(text, "::") {
		text = "| " + text
	}
	return Text(failure.Shorten(text, maxError))
}

func attempts(all []outcome.Attempt) []Attempt {
	converted := []Attempt{}
	for _, attempt := range all {
		a := Attempt{Seconds: round(attempt.Took.Seconds())}
		if attempt.Err != nil {
			a.Class, a.Error = Text(failure.ClassOf(attempt.Err)), inOneLine(attempt.Err.Error())
		}
		converted = append(converted, a)
	}
	return converted
}

// maxErrorOutput limits ErrorOutput, in bytes.
const maxErrorOutput = 8 << 10

// tail returns the last n bytes of s, without the partial character that a cut may leave at the start.
func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = strings.TrimLeftFunc(s[len(s)-n:], func(r rune) bool { return r == '\uFFFD' })
	}
	return s
}

// durations returns the time spent on the target and its wait for a slot. The wait is what remains of the time between
// Started and Finished, because all targets of a run start at once.
func durations(o *outcome.Outcome) (worked, queued time.Duration) {
	worked = o.Worked() + o.Waited
	if o.Started.IsZero() {
		return worked, 0
	}
	return worked, max(0, o.Finished.Sub(o.Started)-worked)
}

// moment returns t in UTC, truncated to milliseconds.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Telemetry holds the SDK's own figures for a build. The JSON names are those of OpenHands/benchmarks: the SDK's names with
// the prefix sdk_. Seconds are sums over steps that BuildKit runs concurrently, so they may exceed the wall-clock time.
type Telemetry struct {
	BuildContextSeconds    *float64 `json:"sdk_build_context_seconds"`
	BuildxWallClockSeconds *float64 `json:"sdk_buildx_wall_clock_seconds"`
	CleanupSeconds         *float64 `json:"sdk_cleanup_seconds"`
	CacheImportSeconds     *float64 `json:"sdk_cache_import_seconds"`
	CacheImportMissCount   *int     `json:"sdk_cache_import_miss_count"`
	CacheExportSeconds     *float64 `json:"sdk_cache_export_seconds"`
	ImageExportSeconds     *float64 `json:"sdk_image_export_seconds"`
	PushLayersSeconds      *float64 `json:"sdk_push_layers_seconds"`
	ExportManifestSeconds  *float64 `json:"sdk_export_manifest_seconds"`
	CachedStepCount        *int     `json:"sdk_cached_step_count"`
}

func telemetry(figures map[string]float64) Telemetry {
	seconds := func(name string) *float64 {
		value, ok := figures[name]
		if !ok || !finite(value) {
			return nil
		}
		value = round(value)
		return &value
	}
	count := func(name string) *int {
		value, ok := figures[name]
		if !ok || !finite(value) {
			return nil
		}
		whole := int(value)
		return &whole
	}
	return Telemetry{
		BuildContextSeconds: seconds("build_context_seconds"), BuildxWallClockSeconds: seconds("buildx_wall_clock_seconds"),
		CleanupSeconds: seconds("cleanup_seconds"), CacheImportSeconds: seconds("cache_import_seconds"),
		CacheImportMissCount: count("cache_import_miss_count"), CacheExportSeconds: seconds("cache_export_seconds"),
		ImageExportSeconds: seconds("image_export_seconds"), PushLayersSeconds: seconds("push_layers_seconds"),
		ExportManifestSeconds: seconds("export_manifest_seconds"), CachedStepCount: count("cached_step_count"),
	}
}

// finite reports whether JSON can represent v. A single NaN would make the whole line fail to encode.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// round rounds to milliseconds, as OpenHands/benchmarks does. A product that overflows would be no JSON; such a number has no
// fraction.
func round(seconds float64) float64 {
	if ms := seconds * 1000; finite(ms) {
		return math.Round(ms) / 1000
	}
	return seconds
}

// secondsOrNil returns d in seconds, or nil when d is zero: then nothing was done.
func secondsOrNil(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	seconds := round(d.Seconds())
	return &seconds
}
