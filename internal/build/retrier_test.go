package build_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

// attempts answers one call after the other, each after a minute; the last one is for all further calls.
type attempts struct {
	answers []attempt
	mu      sync.Mutex
	calls   int
	started []time.Time
}

type attempt struct {
	result build.Result
	err    error
}

func (a *attempts) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	a.mu.Lock()
	answer := a.answers[min(a.calls, len(a.answers)-1)]
	a.calls++
	a.started = append(a.started, time.Now())
	a.mu.Unlock()
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return build.Result{Strategy: "native", Attempts: 1}, &build.Error{Class: build.ClassCancelled, Err: ctx.Err()}
	}
	return answer.result, answer.err
}

// failing is a build of a minute that failed.
func failing(c build.Class) attempt {
	return attempt{
		build.Result{Strategy: "native", LogPath: "x.log", Attempts: 1, Check: time.Second, Making: time.Minute, SdistBuilds: 1,
			Telemetry: map[string]float64{"cleanup_seconds": 1}},
		&build.Error{Class: c, Err: errors.New(string(c))},
	}
}

func working() attempt {
	return attempt{result: build.Result{Strategy: "native", LogPath: "x.log", Attempts: 1, Check: time.Second, Making: time.Minute,
		Tags: []string{"r/i:0"}, Digest: "sha256:a", SdistBuilds: 1, Telemetry: map[string]float64{"cleanup_seconds": 2}}}
}

func found() attempt {
	return attempt{result: build.Result{Skipped: true, Tags: []string{"r/i:0"}, Digest: "sha256:a", Check: time.Second}}
}

// refused is an attempt at an image that could not be rebased.
func refused(a attempt) attempt {
	a.result.Refusal = "ONBUILD"
	return a
}

// unasked is a registry that did not answer before anything was built.
func unasked() attempt {
	return attempt{build.Result{Check: time.Second}, &build.Error{Class: build.ClassRegistry, Err: errors.New("502")}}
}

// What trying again cannot help is tried once; the rest as often as its class and max-retries allow.
func TestRetrierTriesByClass(t *testing.T) {
	cases := []struct {
		class   build.Class
		further int
		want    int
	}{
		{build.ClassBaseMissing, 5, 1},
		{build.ClassAuth, 5, 1},
		{build.ClassQuota, 5, 1},
		{build.ClassSDK, 5, 1},
		{build.ClassUnknown, 5, 1},
		{build.Class("of tomorrow"), 5, 1},
		{build.ClassRegistry, 5, 6},
		{build.ClassNetwork, 5, 6},
		{build.ClassEngine, 5, 6},
		{build.ClassShared, 5, 6},
		{build.ClassWorkerDied, 5, 6},
		{build.ClassDisk, 5, 2},
		{build.ClassTimeout, 5, 2},
		{build.ClassBuild, 5, 2},
		{build.ClassNetwork, 2, 3},
		{build.ClassNetwork, 0, 1},
		{build.ClassDisk, 0, 1},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s, at most %d more", c.class, c.further), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &attempts{answers: []attempt{failing(c.class)}}
				result, err := build.NewRetrier(next, c.further).Build(t.Context(), targets(1)[0])
				if next.calls != c.want || result.Attempts != c.want || len(result.Tries) != c.want || build.ClassOf(err) != c.class {
					t.Errorf("%d calls, %d attempts, %d tries, %v; want %d", next.calls, result.Attempts, len(result.Tries), err, c.want)
				}
			})
		})
	}
}

func TestRetrierAddsUp(t *testing.T) {
	two := 2 * time.Minute
	cases := []struct {
		name    string
		answers []attempt
		want    build.Result
	}{
		{"at once", []attempt{working()}, build.Result{Attempts: 1, Check: time.Second, Making: time.Minute, SdistBuilds: 1, LogPath: "x.log", Strategy: "native"}},
		{"the second time", []attempt{failing(build.ClassNetwork), working()},
			build.Result{Attempts: 2, Check: 2 * time.Second, Making: two, SdistBuilds: 2, LogPath: "x.log", Strategy: "native"}},
		{"the push had landed", []attempt{failing(build.ClassNetwork), found()},
			build.Result{Attempts: 2, Check: 2 * time.Second, Making: time.Minute, SdistBuilds: 1, LogPath: "x.log", Strategy: "native"}},
		{"refused, and the push had landed", []attempt{refused(failing(build.ClassNetwork)), found()},
			build.Result{Attempts: 2, Check: 2 * time.Second, Making: time.Minute, SdistBuilds: 1, LogPath: "x.log", Strategy: "native", Refusal: "ONBUILD"}},
		{"refused, and then not", []attempt{refused(failing(build.ClassNetwork)), working()},
			build.Result{Attempts: 2, Check: 2 * time.Second, Making: two, SdistBuilds: 2, LogPath: "x.log", Strategy: "native"}},
		{"it was there before anything was built", []attempt{unasked(), found()}, build.Result{Attempts: 1, Skipped: true, Check: 2 * time.Second}},
		{"it was there", []attempt{found()}, build.Result{Skipped: true, Check: time.Second}},
		{"another failure each time", []attempt{failing(build.ClassDisk), failing(build.ClassTimeout), working()},
			build.Result{Attempts: 3, Check: 3 * time.Second, Making: 3 * time.Minute, SdistBuilds: 3, LogPath: "x.log", Strategy: "native"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &attempts{answers: c.answers}
				got, err := build.NewRetrier(next, 2).Build(t.Context(), targets(1)[0])
				if err != nil || got.Digest != "sha256:a" || len(got.Tags) != 1 {
					t.Fatalf("%+v, %v; want the image", got, err)
				}
				if want := map[bool]float64{true: 2, false: 1}[c.answers[len(c.answers)-1].result.Telemetry != nil]; got.Strategy != "" && got.Telemetry["cleanup_seconds"] != want {
					t.Errorf("telemetry %v, want that of the last build", got.Telemetry)
				}
				if (got.Waited > 0) != (len(c.answers) > 1) {
					t.Errorf("waited %v in %d attempts", got.Waited, len(c.answers))
				}
				got.Tags, got.Digest, got.Tries, got.Telemetry, got.Waited = nil, "", nil, nil, 0
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A registry's pauses use up no attempts: they end with time, whatever max-retries says.
func TestPausesAreNoAttempts(t *testing.T) {
	busy := func(after, waited time.Duration) attempt {
		return attempt{err: &build.Error{Class: build.ClassRateLimit, RetryAfter: after, Waited: waited, Err: errors.New("429")}}
	}
	cases := []struct {
		name    string
		answers []attempt
		further int
		calls   int // and up to two more: waits have a random part
		works   bool
	}{
		{"short pauses", append(slices.Repeat([]attempt{busy(11*time.Second, 0)}, 3), working()), 0, 4, true},
		{"pauses and failures", append(slices.Repeat([]attempt{busy(time.Second, 0), failing(build.ClassNetwork)}, 2), working()), 2, 5, true},
		{"pauses and too many failures", append(slices.Repeat([]attempt{busy(time.Second, 0), failing(build.ClassNetwork)}, 2), working()), 1, 4, false},
		{"without an end", []attempt{busy(0, 0)}, 0, 6, false},
		{"without an end, and as many attempts as there can be", []attempt{busy(0, 0)}, 20, 6, false},
		{"requests that have waited themselves", []attempt{busy(time.Second, 15*time.Minute)}, 20, 2, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &attempts{answers: c.answers}
				result, err := build.NewRetrier(next, c.further).Build(t.Context(), targets(1)[0])
				if (err == nil) != c.works || next.calls < c.calls || next.calls > c.calls+2 {
					t.Errorf("%d calls, %v; want %d, and that it works: %v", next.calls, err, c.calls, c.works)
				}
				if result.Waited > 30*time.Minute {
					t.Errorf("it waited for %v", result.Waited)
				}
			})
		})
	}
}

// The waits double, are never the same for two images, and are never shorter than a registry asks for.
func TestBackOff(t *testing.T) {
	asks := func(after time.Duration) attempt {
		return attempt{build.Result{Attempts: 1}, &build.Error{Class: build.ClassRateLimit, RetryAfter: after, Err: errors.New("429")}}
	}
	cases := []struct {
		name   string
		answer attempt
		bounds [][2]time.Duration
	}{
		{"network", failing(build.ClassNetwork), [][2]time.Duration{{5 * time.Second, 7500 * time.Millisecond}, {10 * time.Second, 15 * time.Second}, {20 * time.Second, 30 * time.Second}}},
		{"rate limit", failing(build.ClassRateLimit), [][2]time.Duration{{time.Minute, 90 * time.Second}, {2 * time.Minute, 3 * time.Minute}, {4 * time.Minute, 6 * time.Minute}, {5 * time.Minute, 450 * time.Second}}},
		{"a registry asks for more", asks(10 * time.Minute), [][2]time.Duration{{10 * time.Minute, 12*time.Minute + 30*time.Second}}},
		{"a registry asks for less", asks(352 * time.Microsecond), [][2]time.Duration{{time.Minute, 90 * time.Second}}},
		{"a registry asks for too much", asks(time.Hour), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &attempts{answers: append(slices.Repeat([]attempt{c.answer}, max(1, len(c.bounds))), working())}
				var told []time.Duration
				r := build.NewRetrier(next, max(1, len(c.bounds)))
				r.Waiting = func(_ plan.Target, attempt int, err error, wait time.Duration) {
					if told = append(told, wait); attempt != len(told) || err == nil {
						t.Errorf("told of attempt %d and %v, want %d", attempt, err, len(told))
					}
				}
				r.Build(t.Context(), targets(1)[0])
				if next.calls != len(c.bounds)+1 || len(told) != len(c.bounds) {
					t.Fatalf("%d attempts, told of %d waits; want %d", next.calls, len(told), len(c.bounds))
				}
				for i, bounds := range c.bounds {
					wait := next.started[i+1].Sub(next.started[i]) - time.Minute
					if wait < bounds[0] || wait > bounds[1] || told[i] != wait {
						t.Errorf("wait %d is %v (told %v), want %v to %v", i+1, wait, told[i], bounds[0], bounds[1])
					}
				}
			})
		})
	}
}

func TestBackOffsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := map[time.Duration]bool{}
		for range 10 {
			result, _ := build.NewRetrier(&attempts{answers: []attempt{failing(build.ClassNetwork)}}, 1).Build(t.Context(), targets(1)[0])
			waits[result.Waited] = true
		}
		if len(waits) < 2 {
			t.Errorf("10 images that fail together come back together, after %v", waits)
		}
	})
}

// Images that wait to be tried again leave their slot to others.
func TestBackOffHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, all := time.Now(), targets(4)
		var others time.Duration
		one := build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
			time.Sleep(10 * time.Second)
			if t.InstanceID == all[0].InstanceID {
				return build.Result{Attempts: 1}, &build.Error{Class: build.ClassRateLimit, Err: errors.New("429")}
			}
			others = time.Since(begin)
			return build.Result{Attempts: 1, Tags: t.Tags}, nil
		})
		b := build.NewRetrier(build.NewLimiter(one, 1, nil), 1)
		go b.Build(t.Context(), all[0])
		synctest.Wait() // it has the slot
		build.All(t.Context(), b, all[1:])
		if others != 40*time.Second {
			t.Errorf("the others ended after %v, want 40 s: a wait holds the slot", others)
		}
		time.Sleep(time.Hour)
	})
}

// The hook comes after the wait, and tells the class.
func TestBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &attempts{answers: []attempt{failing(build.ClassDisk), working()}}
		r := build.NewRetrier(next, 3)
		var classes []build.Class
		r.Before = func(_ context.Context, c build.Class) {
			classes = append(classes, c)
			time.Sleep(time.Hour)
		}
		result, err := r.Build(t.Context(), targets(1)[0])
		if diff := cmp.Diff([]build.Class{build.ClassDisk}, classes); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if result.Waited < time.Hour {
			t.Errorf("waited %v: what the hook takes is a wait, too", result.Waited)
		}
	})
}

// A cancel ends a wait at once. The image then counts as cancelled, for it would have been tried again, and says why it
// had failed.
func TestCancelEndsTheWait(t *testing.T) {
	cases := []struct {
		name     string
		after    time.Duration
		attempts int
	}{
		{"in the wait", 90 * time.Second, 1},
		{"in the next attempt", 151 * time.Second, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), c.after, context.Canceled)
				defer cancel()
				begin := time.Now()
				next := &attempts{answers: []attempt{failing(build.ClassRateLimit)}}
				result, err := build.NewRetrier(next, 5).Build(ctx, targets(1)[0])
				if took := time.Since(begin); took != c.after {
					t.Errorf("it took %v, want %v", took, c.after)
				}
				if build.ClassOf(err) != build.ClassCancelled || !strings.Contains(err.Error(), "rate-limit") || result.Attempts != c.attempts {
					t.Errorf("class %q, %d attempts, %v; want cancelled, %d, and the class of the failure", build.ClassOf(err), result.Attempts, err, c.attempts)
				}
				if first := result.Tries[0]; build.ClassOf(first.Err) != build.ClassRateLimit {
					t.Errorf("the first attempt failed by %q", build.ClassOf(first.Err))
				}
			})
		})
	}
}

// The log of an attempt that failed before it came to the SDK's build is not lost.
func TestRetrierKeepsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := attempt{result: build.Result{LogPath: "wrap.log", Attempts: 1}, err: &build.Error{Class: build.ClassSDK, Err: errors.New("x")}}
		result, _ := build.NewRetrier(&attempts{answers: []attempt{early}}, 2).Build(t.Context(), targets(1)[0])
		if result.LogPath != "wrap.log" {
			t.Errorf("the log is %q, want wrap.log", result.LogPath)
		}
	})
}
