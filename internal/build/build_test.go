package build_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

func targets(n int) []plan.Target {
	made := make([]plan.Target, n)
	for i := range made {
		made[i] = plan.Target{InstanceID: fmt.Sprintf("repo__name-%d", i), Tags: []string{fmt.Sprintf("r/i:%d", i)}}
	}
	return made
}

func TestStatus(t *testing.T) {
	cases := []struct {
		name    string
		outcome build.Outcome
		want    build.Status
	}{
		{"built", build.Outcome{Result: build.Result{Tags: []string{"a:b"}}}, build.Built},
		{"skipped", build.Outcome{Result: build.Result{Tags: []string{"a:b"}, Skipped: true}}, build.Skipped},
		{"an error wins over what the result says", build.Outcome{Result: build.Result{Tags: []string{"a:b"}, Skipped: true}, Err: errors.New("x")}, build.Failed},
		{"no tags is no image", build.Outcome{}, build.Failed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.outcome.Status(); got != c.want {
				t.Errorf("Status = %s, want %s", got, c.want)
			}
		})
	}
}

func TestClassOf(t *testing.T) {
	cases := []struct {
		err  error
		want build.Class
	}{
		{nil, ""},
		{&build.Error{Class: build.ClassBuild, Err: errors.New("x")}, build.ClassBuild},
		{fmt.Errorf("building: %w", &build.Error{Class: build.ClassTimeout, Err: context.DeadlineExceeded}), build.ClassTimeout},
		{fmt.Errorf("building: %w", context.Canceled), build.ClassCancelled},
		{errors.New("x"), build.ClassUnknown},
	}
	for _, c := range cases {
		if got := build.ClassOf(c.err); got != c.want {
			t.Errorf("ClassOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

// Every slot is used, and never one more.
func TestLimiterFillsItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, started := 0, 0, 0
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			running += by
			most = max(most, running)
		}
		slow := build.Func(func(context.Context, plan.Target) (build.Result, error) {
			count(1)
			defer count(-1)
			time.Sleep(time.Minute)
			return build.Result{}, nil
		})
		begin := time.Now()
		start := func(plan.Target) {
			mu.Lock()
			defer mu.Unlock()
			started++
		}
		limiter := build.NewLimiter(slow, 3, start)
		ended := 0
		limiter.Ended = func(plan.Target) {
			mu.Lock()
			defer mu.Unlock()
			ended++
		}
		var both sync.WaitGroup // which share the slots
		both.Go(func() { build.All(t.Context(), limiter, targets(4)) })
		both.Go(func() { build.All(t.Context(), limiter.Sharing(slow), targets(3)) })
		both.Wait()
		if most != 3 || started != 7 || ended != 7 {
			t.Errorf("at most %d at once, %d started, %d ended; want 3, 7 and 7", most, started, ended)
		}
		if took := time.Since(begin); took != 3*time.Minute {
			t.Errorf("7 builds of a minute took %v in 3 slots, want 3m", took)
		}
	})
}

// A cancelled run begins no further image, and those that waited say that they were never started.
func TestCancelStopsScheduling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		builds := 0
		first := build.Func(func(context.Context, plan.Target) (build.Result, error) {
			builds++
			cancel()
			return build.Result{Tags: []string{"a:b"}}, nil
		})
		var mu sync.Mutex
		var outcomes []build.Outcome
		record := func(o build.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, o)
		}
		build.All(ctx, build.NewRecorder(build.NewLimiter(first, 1, nil), record), targets(3))
		if builds != 1 || len(outcomes) != 3 {
			t.Fatalf("%d builds, %d outcomes; want 1 and 3", builds, len(outcomes))
		}
		classes := map[build.Class]int{}
		for _, o := range outcomes {
			classes[build.ClassOf(o.Err)]++
		}
		if diff := cmp.Diff(map[build.Class]int{"": 1, build.ClassCancelled: 2}, classes); diff != "" {
			t.Error(diff)
		}
	})
}

// One failed image never stops the others.
func TestAllKeepsGoing(t *testing.T) {
	var mu sync.Mutex
	statuses := map[build.Status]int{}
	record := func(o build.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		statuses[o.Status()]++
	}
	third := build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
		if t.InstanceID == "repo__name-2" {
			return build.Result{}, errors.New("no such base image")
		}
		return build.Result{Tags: t.Tags}, nil
	})
	build.All(t.Context(), build.NewRecorder(build.NewLimiter(third, 2, nil), record), targets(12))
	if diff := cmp.Diff(map[build.Status]int{build.Built: 11, build.Failed: 1}, statuses); diff != "" {
		t.Error(diff)
	}
}

// answers is a fake registry: by first tag, a digest or an error; what it does not name is missing.
type answers map[string]any

func (a answers) Present(_ context.Context, refs []string) (string, bool, error) {
	switch answer := a[refs[0]].(type) {
	case error:
		return "", false, answer
	case string:
		return answer, true, nil
	default:
		return "", false, nil
	}
}

func TestPresent(t *testing.T) {
	registry := answers{"r/i:0": "sha256:a", "r/i:2": errors.New("429, too many requests")}
	done, missing := build.Present(t.Context(), registry, targets(4))
	got := map[string]build.Status{}
	for _, o := range done {
		got[o.Target.InstanceID] = o.Status()
	}
	if diff := cmp.Diff(map[string]build.Status{"repo__name-0": build.Skipped, "repo__name-2": build.Failed}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]plan.Target{targets(4)[1], targets(4)[3]}, missing); diff != "" {
		t.Error(diff)
	}
}

func TestSkipper(t *testing.T) {
	cases := []struct {
		name   string
		answer any
		builds int
		want   build.Status
		class  build.Class
	}{
		{"missing is built", nil, 1, build.Built, ""},
		{"present is skipped", "sha256:a", 0, build.Skipped, ""},
		{"no answer fails, and is not built over", errors.New("502"), 0, build.Failed, build.ClassRegistry},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			builds := 0
			next := build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
				builds++
				return build.Result{Tags: t.Tags}, nil
			})
			target := targets(1)[0]
			result, err := build.NewSkipper(next, answers{target.Tags[0]: c.answer}).Build(t.Context(), target)
			outcome := build.Outcome{Target: target, Result: result, Err: err}
			if builds != c.builds || outcome.Status() != c.want || build.ClassOf(err) != c.class {
				t.Errorf("%d builds, %s, class %q; want %d, %s, %q", builds, outcome.Status(), build.ClassOf(err), c.builds, c.want, c.class)
			}
		})
	}
}

// What was pushed must be in the registry under every tag, or it was not built.
func TestConfirmer(t *testing.T) {
	pushed := build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
		return build.Result{Tags: t.Tags}, nil
	})
	target := targets(1)[0]
	result, err := build.NewConfirmer(pushed, answers{target.Tags[0]: "sha256:a"}).Build(t.Context(), target)
	if err != nil || result.Digest != "sha256:a" {
		t.Errorf("found: %+v, %v; want the digest", result, err)
	}
	if _, err = build.NewConfirmer(pushed, answers{}).Build(t.Context(), target); build.ClassOf(err) != build.ClassRegistry {
		t.Errorf("lost after the push: %v; want a registry error", err)
	}
}

// asking is a registry's refusal that asks to wait.
type asking struct{ error }

func (asking) RetryAfter() time.Duration { return 7 * time.Second }
func (asking) Waited() time.Duration     { return 0 }

// What the registry's answer means decides whether it is asked again.
func TestUnansweredQuestions(t *testing.T) {
	cases := []struct {
		err  error
		want build.Error
	}{
		{errors.New("asking for r/i:0: 502 Bad Gateway: x"), build.Error{Class: build.ClassRegistry}},
		{errors.New("asking for r/i:0: 401, not allowed: x"), build.Error{Class: build.ClassAuth}},
		{errors.New("asking for r/i:0: 429, too many requests: x"), build.Error{Class: build.ClassRateLimit}},
		{asking{errors.New("asking for r/i:0: 403 Forbidden, asked to wait 7s: x")}, build.Error{Class: build.ClassRateLimit, RetryAfter: 7 * time.Second}},
		{errors.New("asking for r/i:0: dial tcp: lookup r: no such host"), build.Error{Class: build.ClassNetwork}},
		{errors.New("something new"), build.Error{Class: build.ClassRegistry}},
	}
	for _, c := range cases {
		t.Run(c.err.Error(), func(t *testing.T) {
			target := targets(1)[0]
			_, err := build.NewSkipper(nil, answers{target.Tags[0]: fmt.Errorf("asking: %w", c.err)}).Build(t.Context(), target)
			var got *build.Error
			if !errors.As(err, &got) || got.Class != c.want.Class || got.RetryAfter != c.want.RetryAfter {
				t.Errorf("%+v; want %s after %v", got, c.want.Class, c.want.RetryAfter)
			}
		})
	}
}

// Every class says what to do, and a class of another version does, too.
func TestHints(t *testing.T) {
	for _, class := range []build.Class{
		build.ClassBaseMissing, build.ClassAuth, build.ClassQuota, build.ClassRateLimit, build.ClassRegistry, build.ClassNetwork, build.ClassEngine,
		build.ClassDisk, build.ClassTimeout, build.ClassBuild, build.ClassShared, build.ClassWorkerDied, build.ClassSDK, build.ClassCancelled,
		build.ClassUnknown, "of tomorrow",
	} {
		if build.Hint(class) == "" {
			t.Errorf("%s has no hint", class)
		}
	}
}
