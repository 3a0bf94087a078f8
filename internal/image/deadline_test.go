package image

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// runUntil makes targets until all have ended, or until a deadline after d. It returns when the run ended.
func (f *fixture) runUntil(t *testing.T, d time.Duration, targets []plan.Target) (*ran, time.Duration) {
	t.Helper()
	begin := time.Now()
	f.settings.Deadline = begin.Add(d)
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(d, func() { cancel(failure.ErrDeadline) })
	defer timer.Stop()
	r := f.newRun(t, true)
	f.settings.Deadline = time.Time{}
	r.err = r.maker.All(ctx, targets)
	return r, time.Since(begin)
}

// A run begins no image that would probably not be done by the deadline, so that none is cut off. The next run continues.
func TestImagesAreBegunInTime(t *testing.T) {
	h := native(t)
	h.settings.MaxWorkers = 1
	synctest.Test(t, func(t *testing.T) {
		targets := h.numbered(t, 8)
		r, took := h.runUntil(t, 5*time.Minute+30*time.Second, targets)
		differ(t, "classes", map[failure.Class]int{"": 5, failure.ClassNotStarted: 3}, classes(r.outcomes))
		if len(h.did("image")) != 5 || took != 5*time.Minute || r.err != nil {
			t.Errorf("%d builds began, and the run ended after %v, %v; want 5 in 5m", len(h.did("image")), took, r.err)
		}
		for _, out := range r.outcomes {
			if out.Err != nil && (len(out.Attempts) > 0 || out.Err.Error() != "not started: 30s is left before the run's deadline, and this takes 1m0s") {
				t.Errorf("%d attempts, %v", len(out.Attempts), out.Err)
			}
		}
		differ(t, "classes of the next run", map[failure.Class]int{"": 8}, classes(h.run(t, true, targets).outcomes))
		if len(h.did("image")) != 3 {
			t.Errorf("the next run built %d images, want the 3 that were not started", len(h.did("image")))
		}
	})
}

// At the deadline everything ends at once, whatever it waits for, and says so.
func TestDeadlineEndsWhatRuns(t *testing.T) {
	const cut, waiting = failure.ClassDeadline, failure.ClassNotStarted
	cases := []struct {
		name     string
		deadline time.Duration
		change   func(h *fixture)
		want     map[string]failure.Class // of the first reference, and of an image that is rebased
		says     string                   // of the first reference
	}{
		{
			"in the first eval-base", 20 * time.Second, func(*fixture) {},
			map[string]failure.Class{"a": waiting},
			"not started: the run's deadline was reached",
		},
		{
			"in the first reference", 70 * time.Second, func(*fixture) {},
			map[string]failure.Class{"a": cut},
			"the run's deadline was reached",
		},
		{
			"in the wait for another attempt", 123 * time.Second, func(h *fixture) {
				h.settings.MaxRetries = 2
				h.failsFor(map[string]error{"a": noNetwork})
			},
			map[string]failure.Class{"a": cut, "f": cut},
			"the run's deadline was reached after an attempt that failed (network): ",
		},
		{
			"in a pause of the registry", 5 * time.Minute, func(h *fixture) {
				h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/eval-base-") {
						return false
					}
					w.Header().Set("Retry-After", "600")
					w.WriteHeader(http.StatusTooManyRequests)
					return true
				}
			},
			map[string]failure.Class{"a": waiting},
			"not started: the run's deadline was reached",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			h.settings.MaxWorkers = 8
			synctest.Test(t, func(t *testing.T) {
				targets := h.targets(t, "a", "b", "c", "d", "e", "f")
				c.change(h)
				r, took := h.runUntil(t, c.deadline, targets)
				for _, out := range r.outcomes {
					id, got := out.Target.InstanceID, failure.ClassOf(out.Err)
					want := map[bool]failure.Class{true: cut, false: waiting}[len(out.Attempts) > 0]
					if got != want || c.want[id] != "" && got != c.want[id] {
						t.Errorf("%s is %s after %d attempts, %v", id, got, len(out.Attempts), out.Err)
					}
					if id == "a" && !strings.Contains(fmt.Sprint(out.Err), c.says) {
						t.Errorf("a: %v, want %q", out.Err, c.says)
					}
				}
				if took != c.deadline || r.err != nil || len(r.outcomes) != len(targets) {
					t.Errorf("it ended after %v with %d outcomes, %v", took, len(r.outcomes), r.err)
				}
				if len(r.warnings) > 0 {
					t.Errorf("warnings: %q", r.warnings)
				}
			})
		})
	}
}

// A verification that the deadline cuts off, or that is not begun for it, shows nothing about the image: it has failed.
func TestVerificationAtTheDeadline(t *testing.T) {
	cases := []struct {
		name     string
		deadline time.Duration
		says     string
	}{
		{"cut off", 4 * time.Minute, "the run's deadline was reached"},
		{"too late to begin", 3 * time.Minute, "not started: 30s is left before the run's deadline, and this takes 1m0s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			h.settings.Verify, h.settings.MaxWorkers = 1, 8
			h.takes = func(what string) time.Duration {
				if strings.HasPrefix(what, "comparison") {
					return time.Hour
				}
				return time.Minute
			}
			synctest.Test(t, func(t *testing.T) {
				r, took := h.runUntil(t, c.deadline, h.targets(t, "a", "b", "c", "d"))
				differ(t, "classes", map[failure.Class]int{"": 4}, classes(r.outcomes))
				if len(r.verified) != 1 || r.verified[0].Result != ledger.VerifiedFailed || !strings.Contains(r.verified[0].Differences[0], c.says) {
					t.Errorf("verified: %+v", r.verified)
				}
				if took > c.deadline {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// hangsAfterPush is an SDK whose build pushes the image, and then does not end by itself.
type hangsAfterPush struct{ *fixture }

func (h hangsAfterPush) Build(ctx context.Context, r sdk.Request) (sdk.Response, error) {
	if response, err := h.fixture.Build(ctx, r); err != nil {
		return response, err
	}
	<-ctx.Done()
	return sdk.Response{}, fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx))
}

// An image that was pushed when the deadline cut off its build is there, so it is not called missing.
func TestImagePushedBeforeTheDeadline(t *testing.T) {
	h := native(t)
	h.workers = hangsAfterPush{h}
	synctest.Test(t, func(t *testing.T) {
		r, _ := h.runUntil(t, 2*time.Minute, h.targets(t, "a"))
		differ(t, "images", map[string]string{"a": "native: strategy native"}, r.made())
	})
}

// An image that force-build was to replace was there before: that it is there at the deadline shows nothing.
func TestOldImageAtTheDeadline(t *testing.T) {
	h := native(t)
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "a")
		h.run(t, true, targets)
		h.settings.Force = true
		r, _ := h.runUntil(t, 30*time.Second, targets)
		differ(t, "classes", map[failure.Class]int{failure.ClassDeadline: 1}, classes(r.outcomes))
	})
}
