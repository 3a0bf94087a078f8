package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// workers is a fake pool: it keeps what it was asked, and answers what the test wants.
type workers struct {
	asked    sdk.Request
	response sdk.Response
	err      error
}

func (w *workers) Build(_ context.Context, r sdk.Request) (sdk.Response, error) {
	w.asked = r
	return w.response, w.err
}

var target = plan.Target{InstanceID: "django__django-1", BaseImage: "b:latest", CustomTag: "c"}

func TestBuildAsksForTheTarget(t *testing.T) {
	w := &workers{response: sdk.Response{Tags: []string{"r/i:t"}, SdistBuilds: 1, Telemetry: map[string]float64{"cleanup_seconds": 2}}}
	common := sdk.Request{Image: "r/i", Target: "source-minimal", Options: map[string]string{"o": ""}, Sdist: "/s.tar.gz", Timeout: time.Hour}
	b := &Builder{Workers: w, Request: common, Workspace: "/ws", Logs: "/ws/builds/logs"}
	got, err := b.Build(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	asked := common
	asked.BaseImage, asked.CustomTag, asked.LogPath = "b:latest", "c", "/ws/builds/logs/django__django-1.log"
	if diff := cmp.Diff(asked, w.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	got.Making = 0
	want := build.Result{
		Strategy: "native", Attempts: 1, LogPath: "builds/logs/django__django-1.log", Tags: []string{"r/i:t"},
		Telemetry: map[string]float64{"cleanup_seconds": 2}, SdistBuilds: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestFailuresKeepTheirClass(t *testing.T) {
	cases := []struct {
		err  error
		want build.Error
	}{
		{&sdk.BuildFailure{ReturnCode: 7, Tail: "ERROR: no"}, build.Error{Class: build.ClassBuild, ReturnCode: 7, Tail: "ERROR: no"}},
		{&sdk.SDKError{Type: "ValueError", Traceback: "at x"}, build.Error{Class: build.ClassSDK, Tail: "at x"}},
		{&sdk.SDKError{Type: "OSError", Message: "[Errno 28] No space left on device: '/x'"}, build.Error{Class: build.ClassDisk}},
		{&sdk.OptionError{Problems: []string{"x"}}, build.Error{Class: build.ClassSDK}},
		{&sdk.SetupError{Doing: "importing", Cause: "the worker process died (signal: killed)"}, build.Error{Class: build.ClassWorkerDied}},
		{&sdk.WorkerDied{How: "signal: killed", Tail: "last"}, build.Error{Class: build.ClassWorkerDied, Tail: "last"}},
		{sdk.ErrTimeout, build.Error{Class: build.ClassTimeout}},
		{context.Canceled, build.Error{Class: build.ClassCancelled}},
		{errors.New("x"), build.Error{Class: build.ClassUnknown}},
	}
	for _, c := range cases {
		t.Run(string(c.want.Class), func(t *testing.T) {
			b := &Builder{Workers: &workers{err: fmt.Errorf("asking a worker: %w", c.err)}, Workspace: "/ws", Logs: "/ws/logs"}
			result, err := b.Build(t.Context(), target)
			var got *build.Error
			if !errors.As(err, &got) || !errors.Is(err, c.err) {
				t.Fatalf("err = %v; want a build.Error around %v", err, c.err)
			}
			if got.Class != c.want.Class || got.ReturnCode != c.want.ReturnCode || got.Tail != c.want.Tail {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if result.LogPath != "logs/django__django-1.log" || result.Attempts != 1 {
				t.Errorf("result %+v does not tell of the attempt and its log", result)
			}
		})
	}
}

func TestFailureKeepsItsTelemetry(t *testing.T) {
	w := &workers{err: &sdk.BuildFailure{ReturnCode: 1, Telemetry: map[string]float64{"cleanup_seconds": 2}, SdistBuilds: 1}}
	result, _ := (&Builder{Workers: w, Logs: t.TempDir()}).Build(t.Context(), target)
	if result.Telemetry["cleanup_seconds"] != 2 || result.SdistBuilds != 1 {
		t.Errorf("result %+v lacks what the SDK measured", result)
	}
}

func TestLogName(t *testing.T) {
	cases := map[string]string{
		"django__django-1":     "django__django-1.log",
		"chartjs__Chart.js-10": "chartjs__Chart.js-10.log",
		"../../etc/passwd":     "etc-passwd.log",
		"a b:c":                "a-b-c.log",
	}
	for instance, want := range cases {
		if got := LogName(instance); got != want {
			t.Errorf("LogName(%q) = %q, want %q", instance, got, want)
		}
	}
}

// An image's log tells its attempts apart, and those of another run that wrote it before.
func TestLogTellsAttemptsApart(t *testing.T) {
	logs := t.TempDir()
	for range 2 { // runs
		b := &Builder{Workers: &workers{}, Workspace: logs, Logs: logs}
		for range 2 {
			b.Build(t.Context(), target)
		}
	}
	text, err := os.ReadFile(filepath.Join(logs, LogName(target.InstanceID)))
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`\d{4}-\S+Z`).ReplaceAllString(string(text), "TIME")
	once := "[eval-images] ======== attempt 1, TIME ========\n[eval-images] ======== attempt 2, TIME ========\n"
	if diff := cmp.Diff(once+once, got); diff != "" {
		t.Error(diff)
	}
}
