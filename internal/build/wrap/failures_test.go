package wrap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

func TestFailures(t *testing.T) {
	const said = `echo '#5 0.3 No module named pip'; echo 'ERROR: failed to solve: process "python" did not complete' >&2; exit 17`
	const unreached = `ERROR: failed to solve: failed to do request: Head "https://r.local/v2/b/manifests/1": dial tcp: lookup r.local: no such host`
	cancelled := errors.New("the runner's signal")
	cases := []struct {
		name, script string
		prepare      func(h *house, cancel context.CancelCauseFunc)
		want         build.Error
		says         string
	}{
		{"a step fails", said, nil, build.Error{Class: build.ClassBuild, ReturnCode: 17,
			Tail: "#5 0.3 No module named pip\nERROR: failed to solve: process \"python\" did not complete"},
			`docker buildx build ended with 17: ERROR: failed to solve: process "python"`},
		{"a lot is said before", "yes a line | head -n 900; " + said, nil, build.Error{Class: build.ClassBuild, ReturnCode: 17,
			// 4000 bytes hold the last two lines, and 559 lines of 7 in whole.
			Tail: strings.Repeat("a line\n", 559) + "#5 0.3 No module named pip\nERROR: failed to solve: process \"python\" did not complete"}, "17"},
		{"a registry that is not reached", "echo '" + unreached + "' >&2; exit 1", nil,
			build.Error{Class: build.ClassNetwork, ReturnCode: 1, Tail: unreached}, "no such host"},
		{"image-timeout", "sleep 60", func(h *house, _ context.CancelCauseFunc) { h.Timeout = 300 * time.Millisecond },
			build.Error{Class: build.ClassTimeout}, "image-timeout"},
		{"cancelled", "sleep 60", func(_ *house, cancel context.CancelCauseFunc) {
			time.AfterFunc(300*time.Millisecond, func() { cancel(cancelled) })
		},
			build.Error{Class: build.ClassCancelled}, cancelled.Error()},
		{"no answer whether it is there", "", func(h *house, _ context.CancelCauseFunc) {
			h.refuse = func(path string) int {
				if strings.Contains(path, "/eval/") {
					return http.StatusForbidden
				}
				return 0
			}
		}, build.Error{Class: build.ClassRegistry}, "403"},
		{"a folder that is none", "", func(h *house, _ context.CancelCauseFunc) {
			h.LogPath = func(string) string { return "/dev/null/x.log" }
		}, build.Error{Class: build.ClassUnknown}, "log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, c.script)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			target, _ := h.target(t, "sphinx-doc__sphinx-1", sphinx)
			if c.prepare != nil {
				c.prepare(h, cancel)
			}
			result, err := h.Build(ctx, target)
			var failed *build.Error
			if !errors.As(err, &failed) {
				t.Fatalf("error %v, want a *build.Error", err)
			}
			got := build.Error{Class: failed.Class, ReturnCode: failed.ReturnCode, Tail: failed.Tail}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			for _, text := range []string{c.says, target.BaseImage, sphinx} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if len(h.got) != 0 || result.Attempts != 1 || len(result.Tags) != 0 || result.Making <= 0 {
				t.Errorf("result %+v, and built %+v; want an attempt without an image", result, h.got)
			}
			if want := "logs/" + filepath.Base(h.LogPath(target.InstanceID)); result.LogPath != want {
				t.Errorf("log path %s, want %s", result.LogPath, want)
			}
		})
	}
}

// TestTimeoutCoversBoth leaves the build what the wrap has not used.
func TestTimeoutCoversBoth(t *testing.T) {
	h := newHouse(t, "sleep 0.3")
	target, _ := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	h.Timeout = time.Minute
	var left time.Duration
	h.Next = build.Func(func(ctx context.Context, _ plan.Target) (build.Result, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return build.Result{}, nil
	})
	if _, err := h.Build(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if left > time.Minute-300*time.Millisecond || left < time.Second {
		t.Errorf("the build has %s left of a minute", left)
	}
	h.Timeout = 2 * time.Second
	h.Next = build.Func(func(ctx context.Context, _ plan.Target) (build.Result, error) {
		<-ctx.Done()
		return build.Result{}, context.Cause(ctx)
	})
	if _, err := h.Build(t.Context(), target); !errors.Is(err, sdk.ErrTimeout) {
		t.Errorf("the build ended by %v, want image-timeout", err)
	}
}

// TestEndsInGoodOrder lets docker tell BuildKit that nobody waits for the image any more.
func TestEndsInGoodOrder(t *testing.T) {
	h := newHouse(t, `trap 'echo "#1 canceled"; exit 130' INT; sleep 60 & wait`)
	h.Timeout = 300 * time.Millisecond
	target, _ := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	if _, err := h.Build(t.Context(), target); build.ClassOf(err) != build.ClassTimeout {
		t.Errorf("error %v, want a time-out", err)
	}
	if log := h.log(t, target.InstanceID); !strings.Contains(log, "#1 canceled") {
		t.Errorf("docker was not interrupted: its log is %q", log)
	}
}

// TestEndsTheWholeGroup has a docker command that leaves a child behind which does not care for SIGINT.
func TestEndsTheWholeGroup(t *testing.T) {
	h := newHouse(t, `(trap "" INT; echo $$ >group; sh -c 'echo $$ >child; exec sleep 60') & wait`)
	target, _ := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for h.read(t, "child") == "" {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := h.Build(ctx, target); build.ClassOf(err) != build.ClassCancelled {
		t.Errorf("error %v, want a cancelled build", err)
	}
	var child int
	if _, err := fmt.Sscan(h.read(t, "child"), &child); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if errors.Is(syscall.Kill(child, 0), syscall.ESRCH) || zombie(child) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives on", child)
}

// zombie tells a process that has ended, and that process 1 has not waited for yet.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
