package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/sdk"
)

func TestSDKIsAskedForTheTarget(t *testing.T) {
	h := native(t)
	common := sdk.Request{Image: ours, Target: "source-minimal", Options: map[string]string{"o": ""}, Sdist: "/s.tar.gz", Timeout: time.Hour}
	h.settings.Request, h.settings.Workspace, h.settings.NotRebased = common, t.TempDir(), "x"
	var asked []sdk.Request
	h.workers = workers(func(ctx context.Context, r sdk.Request) (sdk.Response, error) {
		asked = append(asked, r)
		response, err := h.Build(ctx, r)
		response.SdistBuilds, response.Telemetry = 1, map[string]float64{"cleanup_seconds": 2}
		return response, err
	})
	synctest.Test(t, func(t *testing.T) {
		target := h.targets(t, "django__django-1")[0]
		got := *h.one(t, target)
		got.Spans = nil // TestSpansTellWhatAnImageDid has them
		want := common
		want.BaseImage, want.CustomTag = target.BaseImage, target.CustomTag
		want.LogPath = filepath.Join(h.settings.Workspace, "logs", "django__django-1.log")
		differ(t, "asked", []sdk.Request{want}, asked)
		differ(t, "outcome", outcome.Outcome{
			Target: target, Started: start, Finished: start.Add(time.Minute), WasMissing: true, NotRebased: "x", Strategy: outcome.Native,
			LogPath: "logs/django__django-1.log", Tags: target.Tags, Digest: h.digest(t, target.Tags[0]),
			Attempts: []outcome.Attempt{{Took: time.Minute}}, Build: time.Minute,
			Telemetry: map[string]float64{"cleanup_seconds": 2}, SdistBuilds: 1,
		}, got)
	})
}

// digest is that of what the registry has.
func (f *fixture) digest(t *testing.T, reference string) string {
	t.Helper()
	m, err := f.newRun(t, false).registry.Manifest(t.Context(), reference)
	if err != nil {
		t.Fatal(err)
	}
	return m.Digest()
}

// failingWorkers answer with an error.
func failingWorkers(err error) workers {
	return func(context.Context, sdk.Request) (sdk.Response, error) {
		return sdk.Response{}, fmt.Errorf("asking a worker: %w", err)
	}
}

func TestFailuresOfTheSDKKeepTheirClass(t *testing.T) {
	cases := []struct {
		err  error
		want failure.Error
	}{
		{&sdk.BuildFailure{ReturnCode: 7, Tail: "ERROR: no"}, failure.Error{Class: failure.ClassBuild, ReturnCode: 7, Tail: "ERROR: no"}},
		{&sdk.SDKError{Type: "ValueError", Traceback: "at x"}, failure.Error{Class: failure.ClassSDK, Tail: "at x"}},
		{&sdk.SDKError{Type: "OSError", Message: "[Errno 28] No space left on device: '/x'"}, failure.Error{Class: failure.ClassDisk}},
		{&sdk.OptionError{Problems: []string{"x"}}, failure.Error{Class: failure.ClassSDK}},
		{&sdk.SetupError{Doing: "importing", Cause: "the worker process died (signal: killed)"}, failure.Error{Class: failure.ClassWorkerDied}},
		{&sdk.WorkerDied{How: "signal: killed", Tail: "last"}, failure.Error{Class: failure.ClassWorkerDied, Tail: "last"}},
		{sdk.ErrTimeout, failure.Error{Class: failure.ClassTimeout}},
		{fmt.Errorf("%w: %w", context.Canceled, logfile.ErrStalled), failure.Error{Class: failure.ClassStalled}},
		{context.Canceled, failure.Error{Class: failure.ClassCancelled}},
		{errors.New("x"), failure.Error{Class: failure.ClassUnknown}},
	}
	for _, c := range cases {
		t.Run(string(c.want.Class), func(t *testing.T) {
			h := native(t)
			h.workers = failingWorkers(c.err)
			synctest.Test(t, func(t *testing.T) {
				out := h.one(t, h.targets(t, "django__django-1")[0])
				var got *failure.Error
				if !errors.As(out.Err, &got) || !errors.Is(out.Err, c.err) {
					t.Fatalf("err = %v; want a failure.Error around %v", out.Err, c.err)
				}
				if got.Class != c.want.Class || got.ReturnCode != c.want.ReturnCode || got.Tail != c.want.Tail {
					t.Errorf("%+v, want %+v", got, c.want)
				}
				if out.LogPath != "logs/django__django-1.log" || len(out.Attempts) != 1 || out.Strategy != outcome.Native {
					t.Errorf("outcome %+v does not tell of the attempt and its log", out)
				}
			})
		})
	}
}

func TestFailureKeepsItsTelemetry(t *testing.T) {
	cases := []struct {
		name string
		err  error
		want map[string]float64
	}{
		{"docker", &sdk.BuildFailure{ReturnCode: 1, Telemetry: map[string]float64{"cleanup_seconds": 2}, SdistBuilds: 1}, map[string]float64{"cleanup_seconds": 2}},
		{"the SDK", &sdk.SDKError{Type: "ValueError", SdistBuilds: 1}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			h.workers = failingWorkers(c.err)
			synctest.Test(t, func(t *testing.T) {
				out := h.one(t, h.targets(t, "a")[0])
				differ(t, "telemetry", c.want, out.Telemetry)
				if out.SdistBuilds != 1 {
					t.Errorf("%d sdists were built, want 1", out.SdistBuilds)
				}
			})
		})
	}
}

// An image's log tells its attempts apart, and those of another run that wrote it before.
func TestLogTellsAttemptsApart(t *testing.T) {
	h := native(t)
	h.settings.Workspace, h.settings.MaxRetries = t.TempDir(), 1
	h.workers = failingWorkers(&sdk.WorkerDied{How: "x"})
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "django__django-1")
		for range 2 { // runs
			h.run(t, true, targets)
		}
		text := read(t, filepath.Join(h.settings.Workspace, "logs", "django__django-1.log"))
		got := regexp.MustCompile(`\d{4}-\S+Z`).ReplaceAllString(text, "TIME")
		const once = "[eval-images] ======== attempt 1, TIME ========\n[eval-images] ======== attempt 2, TIME ========\n"
		differ(t, "log", once+once, got)
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The export of an earlier attempt, or of what a step says, is not this build's.
func TestExportOfThisBuildAloneOpensTheCanary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(text string) {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write("[stderr] #25 exporting to image\n")
		canary, ended := NewCanary(), make(chan struct{})
		go func() {
			defer close(ended)
			watchExport(path, canary, make(chan struct{}))
		}()
		time.Sleep(2 * lookEvery)
		write("#8 0.1 exporting to image is next\n#9 exporting to ")
		time.Sleep(3 * lookEvery)
		if closed(canary.Open()) {
			t.Fatal("passed before the export began")
		}
		write("image\n")
		time.Sleep(2 * lookEvery)
		if !closed(canary.Open()) {
			t.Fatal("the export was not seen")
		}
		<-ended
	})
}

func TestLogIsWatchedNoLongerThanNeeded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // which fails where one watches on
		build := make(chan struct{})
		close(build)
		watchExport(path, NewCanary(), build) // the build has ended
		open := NewCanary()
		open.Pass()
		watchExport(path, open, nil) // another image has passed
	})
}
