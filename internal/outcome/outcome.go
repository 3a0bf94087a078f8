// Package outcome holds the outcome of one target, which the ledger records and the report shows.
package outcome

import (
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Status is the result of a target. The values are those of manifest.jsonl in OpenHands/benchmarks, whose tools can read our ledger.
type Status string

// The results of a target.
const (
	Built   Status = "built"
	Skipped Status = "skipped_remote_exists"
	Failed  Status = "failed"
)

// SkipRemoteExists is the only reason for a skip. The value comes from OpenHands/benchmarks.
const SkipRemoteExists = "remote_image_exists"

// The strategies to make an image.
const (
	Native = "native" // the SDK builds the whole image
	Rebase = "rebase" // the layers and configuration of a reference are applied to an eval-base in the registry, without a build
)

// Outcome is the outcome of one target so far. The function that makes the image fills it in, and it is recorded when that function
// returns.
type Outcome struct {
	Target            plan.Target
	Started, Finished time.Time
	// Err is why the target failed, or nil.
	Err error
	// Skipped says that the image already existed, so nothing was built.
	Skipped bool
	// WasMissing says that the registry did not have the image when it was asked last.
	WasMissing bool
	// Tags are the full references that were pushed or found.
	Tags []string
	// Digest is the manifest digest that all Tags point to, from the registry, or empty if the registry was not asked.
	Digest string
	// Strategy is the strategy that was used or tried: Native or Rebase, or empty for neither.
	Strategy string
	// NotRebased is the reason why an image could not be rebased, or empty. The text is general, so that many images may share it.
	NotRebased string
	// LogPath is the path of the image's log, relative to the workspace, or empty when nothing was run.
	LogPath string
	// Attempts are the attempts at the image, in order. The list is empty when the image already existed or was never started.
	Attempts []Attempt
	// Check is the time spent on registry checks, Build the time spent on making the image, and Waited the time between attempts.
	// Each is a sum over all attempts.
	Check, Build, Waited time.Duration
	// Paused is the time, during and between attempts, in which registries had asked clients to wait.
	Paused time.Duration
	// Telemetry holds the SDK's figures for the last build by the SDK's names, such as build_context_seconds. They are sums over
	// concurrent BuildKit steps, not wall-clock times. It is empty when the SDK returned none.
	Telemetry map[string]float64
	// Spans are what the image did and waited for, in order and without gaps. Slot is the slot that it holds at the moment.
	Spans []Span
	Slot  string
	// SdistBuilds counts the runs of `uv build --sdist` for this image: 0 when it used the run's sdist.
	SdistBuilds int
}

// Attempt is one attempt at an image.
type Attempt struct {
	// Err is why the attempt failed, or nil.
	Err error
	// Took is the duration of the attempt, without the wait for a slot.
	Took time.Duration
}

// Status returns the result. An outcome with an error or without tags is a failure.
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

// Worked returns the time spent on the image so far, without waits.
func (o *Outcome) Worked() time.Duration { return o.Check + o.Build }
