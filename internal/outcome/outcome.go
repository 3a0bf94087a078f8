// Package outcome is what came of one target: what a run records, and what the report tells.
package outcome

import (
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Status is how a target ended. The words are those of the OpenHands/benchmarks repository's manifest.jsonl, whose tools
// read our ledger.
type Status string

// A target ends in one of these.
const (
	Built   Status = "built"
	Skipped Status = "skipped_remote_exists"
	Failed  Status = "failed"
)

// SkipRemoteExists is the only reason for a skip; the word is the benchmarks repository's.
const SkipRemoteExists = "remote_image_exists"

// The strategies by which an image is made.
const (
	Native = "native" // the SDK's own build makes the whole image
	Rebase = "rebase" // layers and configuration of a reference are put on an eval-base, by writing to the registry alone
)

// Outcome is one target and what has come of it so far. The function that makes the image fills it in; it is recorded when
// that function returns.
type Outcome struct {
	Target            plan.Target
	Started, Finished time.Time
	// Err is why the target failed, or nil.
	Err error
	// Skipped says that the image was there already, so nothing was built.
	Skipped bool
	// Tags are the full references that were pushed or found.
	Tags []string
	// Digest is the manifest digest on which all Tags are, as the registry gives it; empty where it was not asked.
	Digest string
	// Strategy is how the image was made, or tried to be: Native or Rebase; empty where it came to neither.
	Strategy string
	// NotRebased is why an image that was to be rebased could not be, in words that many images may share; else empty.
	NotRebased string
	// LogPath is the image's log, relative to the workspace; empty when nothing was run.
	LogPath string
	// Attempts are the attempts at the image, in their order. There is none where it was there already, or never begun.
	Attempts []Attempt
	// Check is the time spent asking the registry, Build the time spent making the image, and Waited the time between
	// attempts. Each is a sum over the attempts.
	Check, Build, Waited time.Duration
	// Paused is the time, in attempts and between them, in which registries had asked to wait.
	Paused time.Duration
	// Telemetry holds the SDK's own figures by the SDK's own names (build_context_seconds, ...). They are sums over
	// concurrent BuildKit steps, not wall time, and those of the last build. It is empty where the SDK gave none.
	Telemetry map[string]float64
	// SdistBuilds counts the `uv build --sdist` runs that this image caused: 0 when the run's own sdist was used.
	SdistBuilds int
}

// Attempt is one attempt at an image.
type Attempt struct {
	// Err is why it failed, or nil.
	Err error
	// Took is the time spent in it, without the wait for a slot.
	Took time.Duration
}

// Status is derived from what happened, never from a default: an error is a failure whatever else is known, and so is a
// build that returned no tags.
func (o *Outcome) Status() Status {
	switch {
	case o.Err != nil, len(o.Tags) == 0:
		return Failed
	case o.Skipped:
		return Skipped
	default:
		return Built
	}
}

// Worked is the time spent on the image so far, without waits.
func (o *Outcome) Worked() time.Duration { return o.Check + o.Build }
