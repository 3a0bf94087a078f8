package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// native has the SDK build and push the whole image, when it is the image's turn and in a slot.
func (m *Maker) native(ctx context.Context, t plan.Target, out *outcome.Outcome) error {
	if t.NotNative != "" {
		out.NotRebased = m.refused(t, out.NotRebased).Reason
		return m.refuse(ctx, t, out)
	}
	m.report.Doing(t, "waiting to be built", "")
	return m.canary.Do(ctx, m.retries, out, func() error {
		return m.inSlot(ctx, t, out, func() error {
			if err := errors.Join(m.bases.canary.Broken(), m.canary.Broken()); err != nil { // since it began to wait for the slot
				return err
			}
			if !m.Force { // another run may have pushed it, or an attempt that failed after its push
				out.Enter(outcome.LookUp)
				if there, err := m.isThere(ctx, t, out); err != nil || there {
					return err
				}
			}
			return m.inTime(outcome.Native, func() error { return m.buildWhole(ctx, t, sdkBuild{Canary: m.canary}, out) })
		})
	})
}

// buildWhole makes sure of the base image, has the SDK build on it, and confirms the push.
func (m *Maker) buildWhole(ctx context.Context, t plan.Target, b sdkBuild, out *outcome.Outcome) error {
	bounded, cancel := m.withTimeout(ctx)
	defer cancel()
	base, err := m.makePipBase(bounded, t, out)
	if err != nil {
		return err
	}
	b.Request = m.Request
	tags, err := m.buildImage(bounded, t, base, b, out)
	if err != nil {
		return err
	}
	out.Tags = tags
	return m.confirm(ctx, out)
}

// buildImage has the SDK build the image of a target on a base image, and returns its tags.
func (m *Maker) buildImage(ctx context.Context, t plan.Target, base string, b sdkBuild, out *outcome.Outcome) (tags []string, err error) {
	b.Log = m.logOf(t.InstanceID, "")
	b.Request.BaseImage, b.Request.CustomTag = base, t.CustomTag
	out.Strategy = outcome.Native
	out.Enter(outcome.NativeBuild)
	response, err := m.buildWithSDK(ctx, b, out)
	out.Telemetry = response.Telemetry
	return response.Tags, err
}

// sdkBuild is one build by the SDK.
type sdkBuild struct {
	Request sdk.Request
	// What says in the log what is built, where that is not the target's image. Log is the log's path.
	What, Log string
	// Canary is told when the build has passed the stages that all images share. It may be nil.
	Canary *Canary
}

// buildWithSDK runs a build in a worker, and adds to out what it took. What the SDK said of a failure comes back as a
// *failure.Error, and the response holds what was measured until then.
func (m *Maker) buildWithSDK(ctx context.Context, b sdkBuild, out *outcome.Outcome) (sdk.Response, error) {
	m.announce(b.Log, b.What)
	out.LogPath = m.relative(b.Log)
	b.Request.LogPath = b.Log
	ended := make(chan struct{})
	if b.Canary != nil {
		go watchExport(b.Log, b.Canary, ended)
	}
	begin := time.Now()
	response, err := m.workers.Build(ctx, b.Request)
	out.Build += time.Since(begin)
	close(ended)
	var failed *sdk.BuildFailure
	var raised *sdk.SDKError
	switch {
	case errors.As(err, &failed):
		response.Telemetry, response.SdistBuilds = failed.Telemetry, failed.SdistBuilds
	case errors.As(err, &raised):
		response.SdistBuilds = raised.SdistBuilds
	}
	out.SdistBuilds += response.SdistBuilds
	if err != nil {
		return response, classify(err, b.Request.BaseImage, m.OwnStages)
	}
	return response, nil
}

// announce begins an attempt's part of a log. The file may also hold an earlier run's attempts. An error is not reported: the
// build needs the log more, and reports it.
func (m *Maker) announce(log, what string) {
	m.attemptsMu.Lock()
	m.attemptsByLog[log]++
	attempt := m.attemptsByLog[log]
	m.attemptsMu.Unlock()
	logfile.Note(log, fmt.Sprintf("======== %sattempt %d, %s ========", what, attempt, time.Now().UTC().Format(time.RFC3339)))
}

// exporting is what BuildKit prints when all stages are built, and only the image's own layers are left to be packed and
// pushed (BuildKit, exporter/containerimage).
const exporting = "exporting to image"

// lineEnd is how many bytes of a line's end are looked at.
const lineEnd = 100

// lookEvery is how often a growing log is read.
const lookEvery = 200 * time.Millisecond

// watchExport reads what is added to a log, until ended is closed, and tells the canary when the export begins.
func watchExport(log string, canary *Canary, ended <-chan struct{}) {
	file, err := os.Open(log)
	if err != nil {
		return
	}
	defer file.Close()
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return
	}
	lines, line := bufio.NewReader(file), ""
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		part, err := lines.ReadSlice('\n')
		line += string(part)
		line = line[max(0, len(line)-lineEnd):]
		switch {
		case err == nil && strings.HasSuffix(strings.TrimSpace(line), exporting):
			canary.Pass()
			return
		case err == nil:
			line = ""
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		}
		select {
		case <-ticker.C:
		case <-ended:
			return
		case <-canary.Open():
			return
		}
	}
}

// classify returns a worker's error as a *failure.Error. baseImage is the target's, and ownStages are the stages that are built
// from it.
func classify(err error, baseImage string, ownStages []string) error {
	var failed *sdk.BuildFailure
	var raised *sdk.SDKError
	var refused *sdk.OptionError
	var died *sdk.WorkerDied
	var notStarted *sdk.SetupError
	text := fmt.Errorf("building with the SDK: %w", err)
	switch {
	case errors.Is(err, sdk.ErrTimeout): // in the build, or before it while a worker was started
		return &failure.Error{Class: failure.ClassTimeout, Err: text}
	case errors.As(err, &failed):
		return docker.BuildFailure(failed.ReturnCode, failed.Tail, text, baseImage, ownStages)
	case errors.As(err, &raised):
		// The SDK unpacks and copies by itself: a full disk is the one fault of the machine that shows as an exception.
		return &failure.Error{Class: diskOr(failure.ClassSDK, raised.Message), Tail: raised.Traceback, Err: text}
	case errors.As(err, &refused):
		return &failure.Error{Class: failure.ClassSDK, Err: text}
	case errors.As(err, &died):
		return &failure.Error{Class: failure.ClassWorkerDied, Tail: died.Tail, Err: text}
	case errors.As(err, &notStarted):
		// The first worker's import worked, or there would be no build: a later one lacks memory or disk.
		return &failure.Error{Class: diskOr(failure.ClassWorkerDied, notStarted.Error()), Err: text}
	case errors.Is(err, logfile.ErrStalled): // before the next: such a build was cancelled, too
		return &failure.Error{Class: failure.ClassStalled, Err: text}
	case errors.Is(err, context.Canceled):
		return &failure.Error{Class: failure.ClassCancelled, Err: text}
	default:
		return &failure.Error{Class: diskOr(failure.ClassUnknown, err.Error()), Err: text}
	}
}

func diskOr(otherwise failure.Class, message string) failure.Class {
	if failure.Classify(message, otherwise) == failure.ClassDisk {
		return failure.ClassDisk
	}
	return otherwise
}
