// Package native makes images the way the SDK itself does: by the SDK's own build, in a worker process.
package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// Strategy is this package's word in the ledger.
const Strategy = build.StrategyNative

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
	// OwnStages are the stages of the SDK's Dockerfile that are built from the target's base image. Without them nothing
	// is known, and no failure counts as one of all images.
	OwnStages []string
	// Shared, if set, is told when a build has got past the stages that all images share.
	Shared Shared
	// What says in the log what is made, where that is not the target's image. Suffix is put behind the instance in the
	// log's name, for what is made beside the image.
	What, Suffix string

	mu       sync.Mutex
	attempts map[string]int // builds begun, by log
}

// Build makes one image. What the SDK said of a failure comes back as a *build.Error.
func (b *Builder) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	log := filepath.Join(b.Logs, LogName(t.InstanceID+b.Suffix))
	request := b.Request
	request.BaseImage, request.CustomTag, request.LogPath = t.BaseImage, t.CustomTag, log
	begin := time.Now()
	b.announce(log, begin)
	ended := make(chan struct{})
	if b.Shared != nil {
		go watch(log, b.Shared, ended)
	}
	response, err := b.Workers.Build(ctx, request)
	close(ended)
	result := build.Result{
		Strategy: Strategy, Attempts: 1, Making: time.Since(begin), LogPath: b.relative(log),
		Tags: response.Tags, Telemetry: response.Telemetry, SdistBuilds: response.SdistBuilds,
	}
	if err != nil {
		return withFailure(result, err), classified(err, t.BaseImage, b.OwnStages)
	}
	return result, nil
}

// announce begins an attempt's part of the image's log. The file may also hold an earlier run's attempts. That it cannot
// be written is the build's to say, which needs it more.
func (b *Builder) announce(log string, now time.Time) {
	b.mu.Lock()
	if b.attempts == nil {
		b.attempts = map[string]int{}
	}
	b.attempts[log]++
	attempt := b.attempts[log]
	b.mu.Unlock()
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "[eval-images] ======== %sattempt %d, %s ========\n", b.What, attempt, now.UTC().Format(time.RFC3339))
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
