// Package ledger is the record of one run: a line of JSON for each image, flushed as the image ends, and what the lines
// add up to.
package ledger

import (
	"errors"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Entry is the line of one target. Field names, status words and types up to CachedStepCount are those of
// OpenHands/benchmarks (build_utils.py, BuildOutput), so that its summarize_build_manifests reads our ledger; the
// others are ours. What is not known is null, never 0.
type Entry struct {
	Time      time.Time      `json:"time"`
	BaseImage string         `json:"base_image"`
	Tags      []string       `json:"tags"` // where the image is now: none when it failed
	Error     Text           `json:"error"`
	LogPath   Text           `json:"log_path"` // relative to the workspace
	Status    outcome.Status `json:"status"`

	SkipReason   Text `json:"skip_reason"`
	AttemptCount int  `json:"attempt_count"` // 0 when the image was there already, or never begun

	// StartedAt is when work on the image began: the wait for a slot comes before it.
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`

	// DurationSeconds is the time that the image took in all its attempts and between them, without the wait for a slot.
	DurationSeconds    *float64 `json:"duration_seconds"`
	RemoteCheckSeconds *float64 `json:"remote_check_seconds"`
	BuildSeconds       *float64 `json:"build_seconds"`
	PostBuildSeconds   *float64 `json:"post_build_seconds"` // always null: nothing is done to an image after its push
	Telemetry

	InstanceID      string `json:"instance_id"`
	Strategy        Text   `json:"strategy"`
	StrategyReason  Text   `json:"strategy_reason"` // why it could not be rebased
	Digest          Text   `json:"digest"`
	ErrorClass      Text   `json:"error_class"`
	ErrorReturnCode *int   `json:"error_return_code"`
	ErrorOutput     Text   `json:"error_output"` // the last lines that the failed command printed
	SdistBuilds     int    `json:"sdist_builds"`
	Wrapped         Text   `json:"wrapped"` // what the base image was wrapped with for this build, in pip's words

	// Phases are the wall seconds of the image's time in this run by name: queued, check, build, backoff.
	Phases map[string]float64 `json:"phases"`
	// Attempts are what the sums above are made of. Telemetry alone is the last build's.
	Attempts []Attempt `json:"attempts"`
}

// Attempt is one try at an image.
type Attempt struct {
	Class   Text    `json:"class"` // null when it worked, like Error
	Error   Text    `json:"error"`
	Seconds float64 `json:"seconds"`
}

// FromOutcome is the entry of a target that has ended.
func FromOutcome(o *outcome.Outcome) Entry {
	finished := moment(o.Finished)
	worked, queued := durations(o)
	e := Entry{
		Time: finished, BaseImage: o.Target.BaseImage, Tags: []string{}, LogPath: Text(o.LogPath),
		Status: o.Status(), AttemptCount: len(o.Attempts), FinishedAt: &finished,
		RemoteCheckSeconds: known(o.Check), BuildSeconds: known(o.Build), DurationSeconds: known(worked),
		Telemetry: telemetry(o.Telemetry), InstanceID: o.Target.InstanceID, Strategy: Text(o.Strategy),
		StrategyReason: Text(strings.Join(strings.Fields(o.NotRebased), " ")), SdistBuilds: o.SdistBuilds, Attempts: attempts(o.Attempts),
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
		e.blame(o.Err)
		return e
	case outcome.Skipped:
		e.SkipReason = outcome.SkipRemoteExists
	default:
		e.Wrapped = Text(o.Target.PipRequirements)
	}
	// A failed target's tags are not shown: what is under them now, if anything, is not this image for certain.
	e.Tags, e.Digest = append(e.Tags, o.Tags...), Text(o.Digest)
	return e
}

// blame takes down why the target failed.
func (e *Entry) blame(err error) {
	if err == nil {
		e.Error, e.ErrorClass = "the build succeeded, but returned no tags", Text(failure.ClassUnknown)
		return
	}
	e.Error, e.ErrorClass = inOneLine(err), Text(failure.ClassOf(err))
	var failed *failure.Error
	if errors.As(err, &failed) {
		e.ErrorOutput = Text(last(failed.Tail, maxErrorOutput))
		if failed.ReturnCode != 0 {
			e.ErrorReturnCode = &failed.ReturnCode
		}
	}
}

// inOneLine is an error without line breaks: the benchmarks repository prints it as it is, and a line of its own could be
// a runner's command.
func inOneLine(err error) Text { return Text(strings.Join(strings.Fields(err.Error()), " ")) }

func attempts(tries []outcome.Attempt) []Attempt {
	made := []Attempt{}
	for _, try := range tries {
		a := Attempt{Seconds: round(try.Took.Seconds())}
		if try.Err != nil {
			a.Class, a.Error = Text(failure.ClassOf(try.Err)), inOneLine(try.Err)
		}
		made = append(made, a)
	}
	return made
}

// maxErrorOutput bounds what a line of the ledger repeats of an image's log, in bytes.
const maxErrorOutput = 8 << 10

// last is the end of s, at most n bytes, without half a character at its start.
func last(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = strings.TrimLeftFunc(s[len(s)-n:], func(r rune) bool { return r == '\uFFFD' })
	}
	return s
}

// durations splits the time since the target was handed in into work on it and the wait for a slot, which an Outcome
// does not tell apart by itself: a full run hands in all targets at once.
func durations(o *outcome.Outcome) (worked, queued time.Duration) {
	worked = o.Check + o.Build + o.Waited
	if o.Started.IsZero() {
		return worked, 0
	}
	return worked, max(0, o.Finished.Sub(o.Started)-worked)
}

// moment is t as the ledger has it: UTC, to the millisecond.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
