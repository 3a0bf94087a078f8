package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// script is what becomes of one attempt after the other, each of which takes a minute; the last step is for all further
// attempts.
type script struct {
	steps   []step
	started []time.Time
}

// step is what an attempt adds to the outcome, and its error.
type step func(out *outcome.Outcome) error

func (s *script) attempt(ctx context.Context, out *outcome.Outcome) error {
	begin := time.Now()
	s.started = append(s.started, begin)
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		out.Build += time.Since(begin)
		return &failure.Error{Class: failure.ClassCancelled, Err: ctx.Err()}
	}
	return s.steps[min(len(s.started), len(s.steps))-1](out)
}

// failing is a build of a minute that fails.
func failing(c failure.Class) step {
	return failingBy(&failure.Error{Class: c, Err: errors.New(string(c))})
}

func failingBy(err error) step {
	return func(out *outcome.Outcome) error {
		build(out)
		out.Telemetry = map[string]float64{"cleanup_seconds": 1}
		return err
	}
}

func build(out *outcome.Outcome) {
	out.Strategy, out.LogPath = outcome.Native, "x.log"
	out.Check += time.Second
	out.Build += time.Minute
	out.SdistBuilds++
}

// working is a build of a minute that works.
func working(out *outcome.Outcome) error {
	build(out)
	out.Tags, out.Digest, out.Telemetry = []string{"r/i:0"}, "sha256:a", map[string]float64{"cleanup_seconds": 2}
	return nil
}

// found is an attempt that finds the image in the registry.
func found(out *outcome.Outcome) error {
	out.Check += time.Second
	out.Skipped, out.Tags, out.Digest = true, []string{"r/i:0"}, "sha256:a"
	return nil
}

// unasked is an attempt at which the registry did not answer before anything was built.
func unasked(out *outcome.Outcome) error {
	out.Check += time.Second
	return &failure.Error{Class: failure.ClassRegistry, Err: errors.New("502")}
}

// refused is an attempt at an image that could not be rebased.
func refused(s step) step {
	return func(out *outcome.Outcome) error {
		out.NotRebased = "ONBUILD"
		return s(out)
	}
}

// waits takes down the waits between attempts.
type waits struct {
	mu       sync.Mutex
	told     []time.Duration
	attempts []int
}

func (w *waits) Waiting(_ plan.Target, attempt int, err error, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.told, w.attempts = append(w.told, wait), append(w.attempts, attempt)
	}
}

func (w *waits) retries(most int) Retries { return Retries{Max: most, Waiter: w} }

// do makes attempts by a script.
func (s *script) do(ctx context.Context, r Retries) (*outcome.Outcome, error) {
	out := &outcome.Outcome{}
	err := r.Do(ctx, out, func() error { return s.attempt(ctx, out) })
	return out, err
}

func quietRetries(most int) Retries { return (&waits{}).retries(most) }

// What trying again cannot help is tried once; the rest as often as its class and max-retries allow.
func TestAttemptsByClass(t *testing.T) {
	cases := []struct {
		class failure.Class
		most  int
		want  int
	}{
		{failure.ClassBaseMissing, 5, 1},
		{failure.ClassAuth, 5, 1},
		{failure.ClassQuota, 5, 1},
		{failure.ClassSDK, 5, 1},
		{failure.ClassRefused, 5, 1},
		{failure.ClassUnknown, 5, 1},
		{failure.Class("of tomorrow"), 5, 1},
		{failure.ClassRegistry, 5, 6},
		{failure.ClassNetwork, 5, 6},
		{failure.ClassEngine, 5, 6},
		{failure.ClassShared, 5, 6},
		{failure.ClassWorkerDied, 5, 6},
		{failure.ClassDisk, 5, 3},
		{failure.ClassTimeout, 5, 2},
		{failure.ClassStalled, 5, 6},
		{failure.ClassBuild, 5, 2},
		{failure.ClassNetwork, 2, 3},
		{failure.ClassNetwork, 0, 1},
		{failure.ClassDisk, 0, 1},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s, at most %d more", c.class, c.most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []step{failing(c.class)}}
				out, err := s.do(t.Context(), quietRetries(c.most))
				if len(s.started) != c.want || len(out.Attempts) != c.want || failure.ClassOf(err) != c.class {
					t.Errorf("%d attempts were made and %d counted, %v; want %d", len(s.started), len(out.Attempts), err, c.want)
				}
				for i, a := range out.Attempts {
					if a.Took != time.Minute+time.Second || failure.ClassOf(a.Err) != c.class {
						t.Errorf("attempt %d took %v and failed by %v", i+1, a.Took, a.Err)
					}
				}
			})
		})
	}
}

func TestOutcomeAddsUpItsAttempts(t *testing.T) {
	cases := []struct {
		name     string
		steps    []step
		attempts int
		want     outcome.Outcome
	}{
		{
			"at once",
			[]step{working},
			1,
			outcome.Outcome{Check: time.Second, Build: time.Minute, SdistBuilds: 1},
		},
		{
			"the second time",
			[]step{failing(failure.ClassNetwork), working},
			2,
			outcome.Outcome{Check: 2 * time.Second, Build: 2 * time.Minute, SdistBuilds: 2},
		},
		{
			"the push had landed",
			[]step{failing(failure.ClassNetwork), found},
			2,
			outcome.Outcome{Check: 2 * time.Second, Build: time.Minute, SdistBuilds: 1},
		},
		{
			"refused, and the push had landed",
			[]step{refused(failing(failure.ClassNetwork)), found},
			2,
			outcome.Outcome{Check: 2 * time.Second, Build: time.Minute, SdistBuilds: 1, NotRebased: "ONBUILD"},
		},
		{"it was there before anything was built", []step{unasked, found}, 1, outcome.Outcome{Skipped: true, Check: 2 * time.Second}},
		{"it was there", []step{found}, 0, outcome.Outcome{Skipped: true, Check: time.Second}},
		{
			"another failure each time",
			[]step{failing(failure.ClassDisk), failing(failure.ClassTimeout), working},
			3,
			outcome.Outcome{Check: 3 * time.Second, Build: 3 * time.Minute, SdistBuilds: 3},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := (&script{steps: c.steps}).do(t.Context(), quietRetries(2))
				if err != nil || got.Digest != "sha256:a" || len(got.Tags) != 1 {
					t.Fatalf("%+v, %v; want the image", got, err)
				}
				last := 1.0 // telemetry is that of the last build
				if got.Build == time.Duration(len(c.steps))*time.Minute {
					last = 2
				}
				if got.Strategy != "" && got.Telemetry["cleanup_seconds"] != last {
					t.Errorf("telemetry %v, want that of the last build", got.Telemetry)
				}
				if (got.Waited > 0) != (len(c.steps) > 1) {
					t.Errorf("waited %v in %d attempts", got.Waited, len(c.steps))
				}
				if len(got.Attempts) != c.attempts {
					t.Errorf("%d attempts, want %d", len(got.Attempts), c.attempts)
				}
				want := c.want
				if want.Build > 0 {
					want.LogPath, want.Strategy = "x.log", outcome.Native
				}
				want.Tags, want.Digest, want.Telemetry, want.Waited = got.Tags, got.Digest, got.Telemetry, got.Waited
				want.Spans = got.Spans // TestSpansTellWhatAnImageDid has them
				got.Attempts = nil
				differ(t, "outcome", want, *got)
			})
		})
	}
}

// The pauses of a registry use up no attempts: they end with time, whatever max-retries says.
func TestPausesAreNoAttempts(t *testing.T) {
	busy := func(after, waited time.Duration) step {
		return func(*outcome.Outcome) error {
			return &failure.Error{Class: failure.ClassRateLimit, RetryAfter: after, Waited: waited, Err: errors.New("429")}
		}
	}
	cases := []struct {
		name    string
		steps   []step
		retries int
		calls   int // and up to two more: waits have a random part
		works   bool
	}{
		{"short pauses", append(slices.Repeat([]step{busy(11*time.Second, 0)}, 3), working), 0, 4, true},
		{"pauses and failures", append(slices.Repeat([]step{busy(time.Second, 0), failing(failure.ClassNetwork)}, 2), working), 2, 5, true},
		{"pauses and too many failures", append(slices.Repeat([]step{busy(time.Second, 0), failing(failure.ClassNetwork)}, 2), working), 1, 4, false},
		{"without an end", []step{busy(0, 0)}, 0, 6, false},
		{"without an end, and as many attempts as there can be", []step{busy(0, 0)}, 20, 6, false},
		{"requests that have waited themselves", []step{busy(time.Second, 15*time.Minute)}, 20, 2, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: c.steps}
				out, err := s.do(t.Context(), quietRetries(c.retries))
				if n := len(s.started); (err == nil) != c.works || n < c.calls || n > c.calls+2 {
					t.Errorf("%d calls, %v; want %d, and that it works: %v", n, err, c.calls, c.works)
				}
				if out.Waited > 30*time.Minute {
					t.Errorf("it waited for %v", out.Waited)
				}
			})
		})
	}
}

// The waits double, are never the same for two images, and are never shorter than a registry asks for.
func TestWaitsBetweenAttempts(t *testing.T) {
	asks := func(after time.Duration) step {
		return failingBy(&failure.Error{Class: failure.ClassRateLimit, RetryAfter: after, Err: errors.New("429")})
	}
	const second, minute = time.Second, time.Minute
	cases := []struct {
		name   string
		step   step
		bounds [][2]time.Duration
	}{
		{"network", failing(failure.ClassNetwork), [][2]time.Duration{{5 * second, 7500 * time.Millisecond}, {10 * second, 15 * second}, {20 * second, 30 * second}}},
		{"rate limit", failing(failure.ClassRateLimit), [][2]time.Duration{{minute, 90 * second}, {2 * minute, 3 * minute}, {4 * minute, 6 * minute}, {5 * minute, 450 * second}}},
		{"a registry asks for more", asks(10 * minute), [][2]time.Duration{{10 * minute, 12*minute + 30*second}}},
		{"a registry asks for less", asks(352 * time.Microsecond), [][2]time.Duration{{minute, 90 * second}}},
		{"a registry asks for too much", asks(time.Hour), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, w := &script{steps: append(slices.Repeat([]step{c.step}, max(1, len(c.bounds))), working)}, &waits{}
				_, _ = s.do(t.Context(), w.retries(max(1, len(c.bounds))))
				if len(s.started) != len(c.bounds)+1 || len(w.told) != len(c.bounds) {
					t.Fatalf("%d attempts, told of %d waits; want %d", len(s.started), len(w.told), len(c.bounds))
				}
				for i, bounds := range c.bounds {
					wait := s.started[i+1].Sub(s.started[i]) - time.Minute
					if wait < bounds[0] || wait > bounds[1] || w.told[i] != wait || w.attempts[i] != i+1 {
						t.Errorf("wait %d is %v (told %v after attempt %d), want %v to %v", i+1, wait, w.told[i], w.attempts[i], bounds[0], bounds[1])
					}
				}
			})
		})
	}
}

func TestImagesThatFailTogetherDoNotComeBackTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		different := map[time.Duration]bool{}
		for range 10 {
			out, _ := (&script{steps: []step{failing(failure.ClassNetwork)}}).do(t.Context(), quietRetries(1))
			different[out.Waited] = true
		}
		if len(different) < 2 {
			t.Errorf("10 images that fail together come back together, after %v", different)
		}
	})
}

// Images that wait to be tried again leave their slot to others.
func TestWaitHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, one := time.Now(), newSlots("build", 1)
		image := func(err error, ended func()) {
			out := &outcome.Outcome{}
			_ = quietRetries(1).Do(t.Context(), out, func() error {
				return one.do(t.Context(), out, outcome.WaitingToBuild, func() error {
					time.Sleep(10 * time.Second)
					ended()
					return err
				})
			})
		}
		go image(&failure.Error{Class: failure.ClassRateLimit, Err: errors.New("429")}, func() {})
		synctest.Wait() // it has the slot
		var mu sync.Mutex
		var last time.Duration
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() {
				image(nil, func() {
					mu.Lock()
					defer mu.Unlock()
					last = time.Since(begin)
				})
			})
		}
		others.Wait()
		if last != 40*time.Second {
			t.Errorf("the others ended after %v, want 40 s: a wait holds the slot", last)
		}
		time.Sleep(time.Hour)
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
				out, err := (&script{steps: []step{failing(failure.ClassRateLimit)}}).do(ctx, quietRetries(5))
				if took := time.Since(begin); took != c.after {
					t.Errorf("it took %v, want %v", took, c.after)
				}
				if failure.ClassOf(err) != failure.ClassCancelled || !strings.Contains(err.Error(), "rate-limit") || len(out.Attempts) != c.attempts {
					t.Errorf("class %q, %d attempts, %v; want cancelled, %d, and the class of the failure", failure.ClassOf(err), len(out.Attempts), err, c.attempts)
				}
				if first := out.Attempts[0]; failure.ClassOf(first.Err) != failure.ClassRateLimit {
					t.Errorf("the first attempt failed by %q", failure.ClassOf(first.Err))
				}
			})
		})
	}
}

// The log of an attempt that failed before it came to the SDK's build is not lost.
func TestLogPathIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := func(out *outcome.Outcome) error {
			out.LogPath = "pip.log"
			return &failure.Error{Class: failure.ClassNetwork, Err: errors.New("x")}
		}
		out, _ := (&script{steps: []step{early, unasked}}).do(t.Context(), quietRetries(2))
		if out.LogPath != "pip.log" {
			t.Errorf("the log is %q, want pip.log", out.LogPath)
		}
	})
}

// What is in vain is not tried again either.
func TestNotTriedIsNotRetried(t *testing.T) {
	calls, out := 0, &outcome.Outcome{}
	_ = quietRetries(5).Do(t.Context(), out, func() error {
		calls++
		return &failure.Error{Class: failure.ClassShared, NotTried: true, Err: errors.New("not tried")}
	})
	if calls != 1 || len(out.Attempts) != 0 {
		t.Errorf("%d calls, %d attempts; want 1 and 0", calls, len(out.Attempts))
	}
}

// The image that goes alone makes its retries within an attempt of the image. Both draw from one budget, and each failure, and
// the success, counts once.
func TestRetriesWithinAnAttemptDrawFromOneBudget(t *testing.T) {
	put := errors.New("putting")
	cases := []struct {
		name          string
		before, after step // what the attempt does before and after its turn; either may be nil
		alone         []step
		most          int
		class         failure.Class
		made          int // attempts that came to their turn
		counted       []failure.Class
	}{
		{"it works at once", nil, nil, []step{working}, 2, "", 1, []failure.Class{""}},
		{"it works the second time", nil, nil, []step{failing(failure.ClassNetwork), working}, 2, "", 2, []failure.Class{failure.ClassNetwork, ""}},
		{
			"it fails as often as it may", nil, nil,
			[]step{failing(failure.ClassNetwork)},
			2, failure.ClassNetwork, 3,
			[]failure.Class{failure.ClassNetwork, failure.ClassNetwork, failure.ClassNetwork},
		},
		{
			"it fails by a class that is tried twice", nil, nil,
			[]step{failing(failure.ClassTimeout)},
			5, failure.ClassTimeout, 2,
			[]failure.Class{failure.ClassTimeout, failure.ClassTimeout},
		},
		{"it fails for good", nil, nil, []step{failing(failure.ClassSDK)}, 5, failure.ClassSDK, 1, []failure.Class{failure.ClassSDK}},
		{
			"what comes before has failed", once(unasked), nil,
			[]step{failing(failure.ClassNetwork)},
			2, failure.ClassNetwork, 2,
			[]failure.Class{failure.ClassRegistry, failure.ClassNetwork, failure.ClassNetwork},
		},
		{
			"what comes after fails", nil, failingBy(&failure.Error{Class: failure.ClassRegistry, Err: put}),
			[]step{failing(failure.ClassNetwork), working},
			2,
			failure.ClassRegistry, 3,
			[]failure.Class{failure.ClassNetwork, failure.ClassRegistry, failure.ClassRegistry},
		},
		{
			"nothing is left for the retries of what comes after", nil, failing(failure.ClassRegistry),
			[]step{failing(failure.ClassNetwork), failing(failure.ClassNetwork), working},
			2,
			failure.ClassRegistry, 3,
			[]failure.Class{failure.ClassNetwork, failure.ClassNetwork, failure.ClassRegistry},
		},
		{"it was there", nil, nil, []step{found}, 2, "", 1, nil},
		{"its own push had landed", nil, nil, []step{failing(failure.ClassNetwork), found}, 2, "", 2, []failure.Class{failure.ClassNetwork, ""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				canary, r, s, out := NewCanary(), quietRetries(c.most), &script{steps: c.alone}, &outcome.Outcome{}
				err := r.Do(t.Context(), out, func() error {
					if c.before != nil {
						if err := c.before(out); err != nil {
							return err
						}
					}
					err := canary.Do(t.Context(), r, out, func() error { return s.attempt(t.Context(), out) })
					if err == nil && c.after != nil {
						return c.after(out)
					}
					return err
				})
				var counted []failure.Class
				var took time.Duration
				for _, a := range out.Attempts {
					counted, took = append(counted, failure.ClassOf(a.Err)), took+a.Took
				}
				differ(t, "attempts", c.counted, counted)
				if len(s.started) != c.made || failure.ClassOf(err) != c.class {
					t.Errorf("%d attempts came to their turn, %v; want %d and %q", len(s.started), err, c.made, cmp.Or(c.class, "an image"))
				}
				if len(out.Attempts) > 0 && took != out.Worked() {
					t.Errorf("the attempts took %v of %v", took, out.Worked())
				}
			})
		})
	}
}

// once is a step that does nothing after the first time.
func once(s step) step {
	done := false
	return func(out *outcome.Outcome) error {
		if done {
			return nil
		}
		done = true
		return s(out)
	}
}
