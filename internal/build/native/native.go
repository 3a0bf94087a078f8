// Package native makes images the way the SDK itself does: by the SDK's own build, in a worker process.
package native

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// Strategy is this package's word in the ledger.
const Strategy = "native"

// Workers run the SDK's build; an *sdk.Pool does.
type Workers interface {
	Build(ctx context.Context, r sdk.Request) (sdk.Response, error)
}

// Builder builds each target through the SDK.
type Builder struct {
	Workers Workers
	// Request is what all targets have in common: image, target stage, options, sdist, timeout.
	Request sdk.Request
	// Workspace is the folder that log paths are told relative to; Logs, below it, gets a log for each image.
	Workspace, Logs string
}

// Build makes one image. What the SDK said of a failure comes back as a *build.Error.
func (b *Builder) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	log := filepath.Join(b.Logs, LogName(t.InstanceID))
	request := b.Request
	request.BaseImage, request.CustomTag, request.LogPath = t.BaseImage, t.CustomTag, log
	begin := time.Now()
	response, err := b.Workers.Build(ctx, request)
	result := build.Result{
		Strategy: Strategy, Attempts: 1, Making: time.Since(begin), LogPath: b.relative(log),
		Tags: response.Tags, Telemetry: response.Telemetry, SdistBuilds: response.SdistBuilds,
	}
	if err != nil {
		return withFailure(result, err), classified(err)
	}
	return result, nil
}

// withFailure adds what the SDK measured of a build until it failed.
func withFailure(result build.Result, err error) build.Result {
	var failed *sdk.BuildFailure
	var raised *sdk.SDKError
	switch {
	case errors.As(err, &failed):
		result.Telemetry, result.SdistBuilds = failed.Telemetry, failed.SdistBuilds
	case errors.As(err, &raised):
		result.SdistBuilds = raised.SdistBuilds
	}
	return result
}

func (b *Builder) relative(log string) string {
	if path, err := filepath.Rel(b.Workspace, log); err == nil {
		return path
	}
	return log
}

// LogName is a file name for an image's log that every shell, archive and upload takes; it ends in ".log".
func LogName(instance string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '-'
	}, instance)
	return strings.TrimLeft(safe, ".-") + ".log"
}

// classified turns a worker's failure into the words of the build package.
func classified(err error) error {
	var failed *sdk.BuildFailure
	var raised *sdk.SDKError
	var died *sdk.WorkerDied
	wrapped := fmt.Errorf("building with the SDK: %w", err)
	switch {
	case errors.As(err, &failed):
		return &build.Error{Class: build.ClassBuild, ReturnCode: failed.ReturnCode, Tail: failed.Tail, Err: wrapped}
	case errors.As(err, &raised):
		return &build.Error{Class: build.ClassSDK, Tail: raised.Traceback, Err: wrapped}
	case errors.As(err, &died):
		return &build.Error{Class: build.ClassWorkerDied, Tail: died.Tail, Err: wrapped}
	case errors.Is(err, sdk.ErrTimeout):
		return &build.Error{Class: build.ClassTimeout, Err: wrapped}
	case errors.Is(err, context.Canceled):
		return &build.Error{Class: build.ClassCancelled, Err: wrapped}
	default:
		return &build.Error{Class: build.ClassUnknown, Err: wrapped}
	}
}
