package build_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

// field is a builder that takes a minute for each target and notes which were under way together.
type field struct {
	mu      sync.Mutex
	answers map[string]error // by instance; a nil answer is an image
	skipped map[string]bool
	running int
	begun   []string
	most    []int // running, at each begin
}

func (f *field) Build(_ context.Context, t plan.Target) (build.Result, error) {
	f.mu.Lock()
	f.running++
	f.begun, f.most = append(f.begun, t.InstanceID), append(f.most, f.running)
	f.mu.Unlock()
	time.Sleep(time.Minute)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	if f.skipped[t.InstanceID] {
		return build.Result{Tags: t.Tags, Skipped: true}, nil
	}
	if err := f.answers[t.InstanceID]; err != nil {
		return build.Result{Attempts: 1}, err
	}
	return build.Result{Attempts: 1, Tags: t.Tags}, nil
}

func TestVanguard(t *testing.T) {
	id := func(i int) string { return fmt.Sprintf("repo__name-%d", i) }
	own := &build.Error{Class: build.ClassBaseMissing, Err: errors.New("not found")}
	shared := &build.Error{Class: build.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
	net := &build.Error{Class: build.ClassNetwork, Shared: "stage builder", Err: errors.New("dns")}
	cases := []struct {
		name    string
		answers map[string]error
		skipped []string
		alone   int // how many begin while no other runs, before the rest goes together
		begun   int
		minutes int
		want    map[build.Class]int
	}{
		{"the first is built, the others go together", nil, nil, 1, 6, 2, map[build.Class]int{"": 6}},
		{"the first has no base, the next goes alone", map[string]error{id(0): own}, nil, 2, 6, 3,
			map[build.Class]int{"": 5, build.ClassBaseMissing: 1}},
		{"what was there already proves nothing", nil, []string{id(0), id(1)}, 3, 6, 4, map[build.Class]int{"": 6}},
		{"a shared stage fails", map[string]error{id(0): shared}, nil, 1, 1, 1, map[build.Class]int{build.ClassShared: 6}},
		{"a shared stage fails for a cause of another class", map[string]error{id(0): net}, nil, 1, 1, 1,
			map[build.Class]int{build.ClassNetwork: 1, build.ClassShared: 5}},
		{"three fail for reasons of their own, the others need not wait", map[string]error{id(0): own, id(1): own, id(2): own}, nil, 3, 6, 4,
			map[build.Class]int{"": 3, build.ClassBaseMissing: 3}},
		{"once one was built, a shared stage's failure is one image's", map[string]error{id(3): shared}, nil, 1, 6, 2,
			map[build.Class]int{"": 5, build.ClassShared: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &field{answers: c.answers, skipped: map[string]bool{}}
				for _, instance := range c.skipped {
					f.skipped[instance] = true
				}
				var mu sync.Mutex
				got, begin := map[build.Class]int{}, time.Now()
				v := build.NewVanguard()
				b := v.Wrap(build.NewRetrier(build.NewLimiter(v.Inside(f), 10, nil), 0))
				v.Ahead(t.Context(), build.NewRecorder(b, func(o build.Outcome) {
					mu.Lock()
					defer mu.Unlock()
					got[build.ClassOf(o.Err)]++
				}), targets(6))
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
				alone := 0
				for alone < len(f.most) && f.most[alone] == 1 && f.begun[alone] == id(alone) {
					alone++
				}
				if len(f.begun) > c.alone { // the first of the rest may look like one more that is alone
					alone = min(alone, c.alone)
				}
				if len(f.begun) != c.begun || alone != c.alone || time.Since(begin) != time.Duration(c.minutes)*time.Minute {
					t.Errorf("%d begun, %d of them alone, in %v; want %d, %d and %d minutes", len(f.begun), alone, time.Since(begin), c.begun, c.alone, c.minutes)
				}
			})
		})
	}
}

// The others wait for the first one's further attempts, too: that is the point.
func TestVanguardWaitsForTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &attempts{answers: []attempt{
			{build.Result{Attempts: 1}, &build.Error{Class: build.ClassShared, Shared: "stage builder", Err: errors.New("npm")}}, working(),
		}}
		v := build.NewVanguard()
		var failed atomic.Int32
		v.Ahead(t.Context(), build.NewRecorder(v.Wrap(build.NewRetrier(next, 2)), func(o build.Outcome) {
			if o.Err != nil {
				failed.Add(1)
			}
		}), targets(3))
		if failed.Load() != 0 || next.calls != 4 {
			t.Errorf("%d failed in %d attempts, want none in 4", failed.Load(), next.calls)
		}
		if wait := next.started[2].Sub(next.started[1]); wait != time.Minute {
			t.Errorf("the second image began %v after the first one's last attempt, want a minute", wait)
		}
	})
}

// When three have failed alone, the others go together; a shared stage's failure among them stops what has not begun,
// unless another has been built meanwhile.
func TestSharedFailureAmongMany(t *testing.T) {
	own := &build.Error{Class: build.ClassBaseMissing, Err: errors.New("not found")}
	shared := &build.Error{Class: build.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
	target := func(i int) plan.Target { return targets(9)[i] }
	cases := []struct {
		name   string
		second error // what becomes of the second of those that are under way together
		want   bool  // whether the next is tried
	}{
		{"nothing was built", own, false},
		{"one was built after it", nil, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := build.Func(func(_ context.Context, target plan.Target) (build.Result, error) {
					switch target.InstanceID {
					case "repo__name-0":
						time.Sleep(time.Second)
						return build.Result{Attempts: 1}, shared
					case "repo__name-1":
						time.Sleep(2 * time.Second)
						return build.Result{Attempts: 1, Tags: target.Tags}, c.second
					}
					return build.Result{Attempts: 1, Tags: target.Tags}, nil
				})
				b := build.NewVanguard().Wrap(next)
				go b.Build(t.Context(), target(0))
				go b.Build(t.Context(), target(1))
				time.Sleep(3 * time.Second)
				result, _ := b.Build(t.Context(), target(2))
				if tried := result.Attempts > 0; tried != c.want {
					t.Errorf("the next was tried: %v, want %v", tried, c.want)
				}
			})
		})
	}
}

// Targets that wait for a slot look again when they get it.
func TestWaitingTargetsLookAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &field{answers: map[string]error{}}
		for i, t := range targets(20) {
			f.answers[t.InstanceID] = &build.Error{Class: build.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
			if i < 3 {
				f.answers[t.InstanceID] = &build.Error{Class: build.ClassBaseMissing, Err: errors.New("not found")}
			}
		}
		var mu sync.Mutex
		notTried := 0
		v := build.NewVanguard()
		b := v.Wrap(build.NewRetrier(build.NewLimiter(v.Inside(f), 1, nil), 0))
		v.Ahead(t.Context(), build.NewRecorder(b, func(o build.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			if o.Result.Attempts == 0 && len(o.Result.Tries) == 0 && strings.HasPrefix(o.Err.Error(), "not tried: ") {
				notTried++
			}
		}), targets(20))
		// Three fail alone, and the first of those that go together meets the shared stage. It gives its slot back before
		// the Retrier knows that it was the last attempt, so one more may slip in; never all the seventeen.
		if n := len(f.begun); n < 4 || n > 5 || notTried != 20-n {
			t.Errorf("%d were not tried, %d builds begun; want 4 or 5 begun, and no other tried", notTried, n)
		}
	})
}

// What is in vain is not tried again either.
func TestNotTriedIsNotRetried(t *testing.T) {
	calls := 0
	r := build.NewRetrier(build.Func(func(context.Context, plan.Target) (build.Result, error) {
		calls++
		return build.Result{}, &build.Error{Class: build.ClassShared, NotTried: true, Err: errors.New("not tried")}
	}), 5)
	if result, _ := r.Build(t.Context(), targets(1)[0]); calls != 1 || result.Attempts != 0 {
		t.Errorf("%d calls, %d attempts; want 1 and 0", calls, result.Attempts)
	}
}

// What was not tried says so, and because of what.
func TestNotTried(t *testing.T) {
	first := build.Func(func(context.Context, plan.Target) (build.Result, error) {
		return build.Result{Attempts: 1}, &build.Error{Class: build.ClassNetwork, Shared: "stage acp-providers", Err: errors.New("EAI_AGAIN")}
	})
	var last build.Outcome
	v := build.NewVanguard()
	v.Ahead(t.Context(), build.NewRecorder(v.Wrap(first), func(o build.Outcome) { last = o }), targets(2))
	const want = "not tried: repo__name-0 failed in stage acp-providers, which all images share (network)"
	if last.Err == nil || last.Err.Error() != want || last.Result.Attempts != 0 || build.ClassOf(last.Err) != build.ClassShared {
		t.Errorf("%v (%s, %d attempts), want %s", last.Err, build.ClassOf(last.Err), last.Result.Attempts, want)
	}
}

// A cancelled run does not go through its images one by one.
func TestVanguardEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var outcomes []string
	var mu sync.Mutex
	v := build.NewVanguard()
	v.Ahead(ctx, build.NewRecorder(v.Wrap(build.NewLimiter(&field{}, 1, nil)), func(o build.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		outcomes = append(outcomes, string(build.ClassOf(o.Err)))
	}), targets(5))
	if got := strings.Join(outcomes, " "); got != "cancelled cancelled cancelled cancelled cancelled" {
		t.Errorf("outcomes %s", got)
	}
}

// As soon as the first image has got past what all share, the others begin, although it has not ended.
func TestVanguardLetsTheOthersInEarly(t *testing.T) {
	for _, form := range []string{"ahead", "one by one"} {
		t.Run(form, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := build.NewVanguard()
				begun := make(chan time.Time, 3)
				slow := v.Wrap(build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
					begun <- time.Now()
					time.Sleep(10 * time.Second)
					v.Passed()
					time.Sleep(time.Minute)
					return build.Result{Attempts: 1, Tags: t.Tags}, nil
				}))
				if form == "ahead" {
					v.Ahead(t.Context(), slow, targets(3))
				} else {
					build.All(t.Context(), v.OneByOne(slow), targets(3))
				}
				first, second, third := <-begun, <-begun, <-begun
				if a, b := second.Sub(first), third.Sub(first); a != 10*time.Second || b != 10*time.Second {
					t.Errorf("the others began %v and %v after the first, want 10s", a, b)
				}
			})
		})
	}
}

// A failure of something shared, after the first image had got past it, is that image's own.
func TestPassedIsProof(t *testing.T) {
	v := build.NewVanguard()
	v.Passed()
	shared := &build.Error{Class: build.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
	b := v.Wrap(build.Func(func(context.Context, plan.Target) (build.Result, error) { return build.Result{Attempts: 1}, shared }))
	for _, target := range targets(2) {
		if result, _ := b.Build(t.Context(), target); result.Attempts != 1 {
			t.Errorf("%s was not tried", target.InstanceID)
		}
	}
}

func TestOneByOne(t *testing.T) {
	own := &build.Error{Class: build.ClassBaseMissing, Err: errors.New("not found")}
	shared := &build.Error{Class: build.ClassShared, Shared: "stage acp-providers", Err: errors.New("npm")}
	cases := []struct {
		name           string
		err            error
		begun, minutes int
	}{
		{"the first is built, the others go together", nil, 6, 2},
		{"three fail for reasons of their own, the others need not wait", own, 6, 4},
		{"a shared stage fails", shared, 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &field{answers: map[string]error{}}
				for _, target := range targets(6) {
					f.answers[target.InstanceID] = c.err
				}
				v, begin := build.NewVanguard(), time.Now()
				build.All(t.Context(), v.OneByOne(v.Wrap(f)), targets(6))
				if took := time.Since(begin); len(f.begun) != c.begun || took != time.Duration(c.minutes)*time.Minute {
					t.Errorf("%d begun in %v, want %d in %d minutes", len(f.begun), took, c.begun, c.minutes)
				}
			})
		})
	}
}
