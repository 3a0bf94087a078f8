// Package build says what making one image means, what came of it, and how many images are made together.
package build

import (
	"context"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Builder makes sure that the image of one target exists. A Result that comes with an error is still worth
// recording: it holds the log's path, the times and the telemetry of what was tried.
type Builder interface {
	Build(ctx context.Context, t plan.Target) (Result, error)
}

// Func lets a plain function be a Builder.
type Func func(ctx context.Context, t plan.Target) (Result, error)

// Build calls f.
func (f Func) Build(ctx context.Context, t plan.Target) (Result, error) { return f(ctx, t) }

// Status is what came of a target. The words are those of the OpenHands/benchmarks repository's manifest.jsonl,
// whose tools read our ledger.
type Status string

// A target ends in one of these.
const (
	Built   Status = "built"
	Skipped Status = "skipped_remote_exists"
	Failed  Status = "failed"
)

// The ways to make an image: StrategyNative is the SDK's own build of it, StrategyRebase puts layers that exist on a base
// by writing to the registry alone.
const (
	StrategyNative = "native"
	StrategyRebase = "rebase"
)

// SkipRemoteExists is the only reason for a skip; the word is the benchmarks repository's.
const SkipRemoteExists = "remote_image_exists"

// Result is what is known of one target's image when its build has ended, however it ended.
type Result struct {
	// Skipped says that the image was there already, so nothing was built.
	Skipped bool
	// Tags are the full references that were pushed or found.
	Tags []string
	// Digest is the manifest digest on which all Tags are, as the registry gives it; empty where it was not asked.
	Digest string
	// Strategy is how the image was made, or tried to be: StrategyNative or StrategyRebase; empty where it came to neither.
	Strategy string
	// Refusal is why an image that was to be rebased could not be, in words that many images may share; empty else.
	Refusal string
	// LogPath is the image's log, relative to the workspace; empty when nothing was run.
	LogPath string
	// Attempts counts how often the image was tried; 0 when it was there already, or never begun.
	Attempts int
	// Tries are those attempts, in their order, where a Retrier made them.
	Tries []Try
	// Check is the time spent asking the registry; Making the time in the SDK's build; Waited the time between attempts.
	// All three are sums over the attempts.
	Check, Making, Waited time.Duration
	// Telemetry holds the SDK's own figures by the SDK's own names (build_context_seconds, ...). They are sums over
	// concurrent BuildKit steps, not wall time. Absent where the SDK gave none. They are those of the last build.
	Telemetry map[string]float64
	// SdistBuilds counts the `uv build --sdist` runs that this image caused: 0 when the run's own sdist was used.
	SdistBuilds int
}

// Try is one attempt at an image.
type Try struct {
	// Err is why it failed, or nil.
	Err error
	// Took is the time in it, without the wait for a slot.
	Took time.Duration
}

// Outcome is a target together with what came of it.
type Outcome struct {
	Target            plan.Target
	Result            Result
	Err               error
	Started, Finished time.Time
}

// Status is derived from what happened, never from a default: an error is a failure whatever the result says, and
// so is a build that names no tag.
func (o Outcome) Status() Status {
	switch {
	case o.Err != nil, len(o.Result.Tags) == 0:
		return Failed
	case o.Result.Skipped:
		return Skipped
	default:
		return Built
	}
}
