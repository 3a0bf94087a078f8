package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// numbered are the instances repo__name-0 and so on.
func (f *fixture) numbered(t *testing.T, n int) []plan.Target {
	t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, numbered(i))
	}
	return f.targets(t, ids...)
}

func numbered(i int) string { return fmt.Sprintf("repo__name-%d", i) }

// buildFailure is a docker build that ended with an error in a step of a stage.
func buildFailure(vertex, step, message string) error {
	return &sdk.BuildFailure{ReturnCode: 1, Tail: fmt.Sprintf("------\n > [%s]:\n%s\n------\nERROR: failed to build: failed to solve: %s", vertex, step, message)}
}

// noBase is how docker ends where an instance's base image does not exist.
func noBase(id string) error {
	base := hub + "/" + id + ":latest"
	return &sdk.BuildFailure{ReturnCode: 1, Tail: "ERROR: failed to build: failed to solve: " + base + ": failed to resolve source metadata for " +
		base + ": " + base + ": not found"}
}

// noNetwork is how docker ends where a stage that all images share does not reach the network.
var noNetwork = buildFailure("acp-providers 2/3] RUN npm", "npm error code EAI_AGAIN", `process "/bin/sh -c npm" did not complete successfully: exit code: 1`)

// failsFor lets the builds of some instances fail.
func (f *fixture) failsFor(errs map[string]error) {
	f.fails = func(what string) error { return errs[strings.TrimPrefix(what, "image ")] }
}

// alone counts the images that began, and the first of them that began while no other was under way.
func (f *fixture) alone() (begun, alone int) {
	running, first := 0, true
	for _, e := range f.events {
		if !strings.HasPrefix(e.what, "begin ") {
			running--
			continue
		}
		running++
		if first = first && running == 1; first {
			alone++
		}
		begun++
	}
	return begun, alone
}

func classes(outcomes []*outcome.Outcome) map[failure.Class]int {
	n := map[failure.Class]int{}
	for _, out := range outcomes {
		n[failure.ClassOf(out.Err)]++
	}
	return n
}

func TestFirstImageGoesAlone(t *testing.T) {
	cases := []struct {
		name    string
		answers map[string]error
		there   int // images that are there already
		alone   int // how many begin while no other runs, before the rest goes together
		begun   int
		minutes int
		want    map[failure.Class]int
	}{
		{"the first is built, the others go together", nil, 0, 1, 6, 2, map[failure.Class]int{"": 6}},
		{
			"the first has no base, the next goes alone",
			map[string]error{numbered(0): noBase(numbered(0))},
			0, 2, 6, 3,
			map[failure.Class]int{"": 5, failure.ClassBaseMissing: 1},
		},
		{"what was there already proves nothing", nil, 2, 1, 4, 2, map[failure.Class]int{"": 6}},
		{"a shared stage fails", map[string]error{numbered(0): brokenShared}, 0, 1, 1, 1, map[failure.Class]int{failure.ClassShared: 6}},
		{
			"a shared stage fails for a cause of another class",
			map[string]error{numbered(0): noNetwork},
			0, 1, 1, 1,
			map[failure.Class]int{failure.ClassNetwork: 1, failure.ClassShared: 5},
		},
		{
			"three fail for reasons of their own, the others need not wait",
			map[string]error{numbered(0): noBase(numbered(0)), numbered(1): noBase(numbered(1)), numbered(2): noBase(numbered(2))},
			0, 3, 6, 4,
			map[failure.Class]int{"": 3, failure.ClassBaseMissing: 3},
		},
		{
			"once one was built, a shared stage's failure is one image's",
			map[string]error{numbered(3): brokenShared},
			0, 1, 6, 2,
			map[failure.Class]int{"": 5, failure.ClassShared: 1},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			h.quiet, h.settings.MaxWorkers = true, 10
			synctest.Test(t, func(t *testing.T) {
				targets := h.numbered(t, 6)
				for _, there := range targets[:c.there] {
					h.push(t, there.Tags[0], h.bases[there.InstanceID])
				}
				h.failsFor(c.answers)
				r := h.newRun(t, true)
				begin := time.Now()
				if err := r.maker.All(t.Context(), targets); err != nil {
					t.Fatal(err)
				}
				took := time.Since(begin)
				differ(t, "classes", c.want, classes(r.outcomes))
				begun, alone := h.alone()
				if begun > c.alone { // the first of the rest may look like one more that is alone
					alone = min(alone, c.alone)
				}
				if begun != c.begun || alone != c.alone || took != time.Duration(c.minutes)*time.Minute {
					t.Errorf("%d begun, %d of them alone, in %v; want %d, %d and %d minutes", begun, alone, took, c.begun, c.alone, c.minutes)
				}
				for i := range alone {
					if first := h.events[2*i].what; first != "begin image "+numbered(c.there+i) {
						t.Errorf("number %d was %s", i, first)
					}
				}
			})
		})
	}
}

// The others wait for the first one's further attempts, too: that is the point.
func TestOthersWaitForTheRetriesOfTheFirst(t *testing.T) {
	h := native(t)
	h.quiet, h.settings.MaxRetries = true, 2
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		h.fails = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 1 {
				return brokenShared
			}
			return nil
		}
		r := h.run(t, true, h.numbered(t, 3))
		differ(t, "images", map[string]string{numbered(0): "native: strategy native", numbered(1): "native: strategy native", numbered(2): "native: strategy native"}, r.made())
		var begun []event
		for _, e := range h.events {
			if strings.HasPrefix(e.what, "begin ") {
				begun = append(begun, e)
			}
		}
		if len(begun) != 4 {
			t.Fatalf("%d builds, want 4: %v", len(begun), h.events)
		}
		if wait := begun[2].at - begun[1].at; wait != time.Minute {
			t.Errorf("the second image began %v after the first one's last attempt, want a minute", wait)
		}
		for _, out := range r.outcomes {
			if want := map[bool]int{true: 2, false: 1}[out.Target.InstanceID == numbered(0)]; len(out.Attempts) != want {
				t.Errorf("%s was tried %d times, want %d", out.Target.InstanceID, len(out.Attempts), want)
			}
		}
	})
}

// When three have failed alone, the others go together; a shared stage's failure among them stops what has not begun,
// unless another has been built meanwhile.
func TestSharedFailureAmongMany(t *testing.T) {
	own := &failure.Error{Class: failure.ClassBaseMissing, Err: errors.New("not found")}
	shared := &failure.Error{Class: failure.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
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
				canary := NewCanary()
				image := func(took time.Duration, err error) (tried bool) {
					out := &outcome.Outcome{}
					_ = canary.Do(t.Context(), quietRetries(0), out, func() error {
						tried = true
						time.Sleep(took)
						return err
					})
					return tried
				}
				for range 3 {
					image(0, own)
				}
				go image(time.Second, shared)
				go image(2*time.Second, c.second)
				time.Sleep(3 * time.Second)
				if tried := image(0, nil); tried != c.want {
					t.Errorf("the next was tried: %v, want %v", tried, c.want)
				}
			})
		})
	}
}

// Targets that wait for a slot look again when they get it.
func TestWaitingTargetsLookAgain(t *testing.T) {
	h := native(t)
	h.settings.MaxWorkers = 1
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]error{}
		for i := range 20 {
			answers[numbered(i)] = brokenShared
			if i < 3 {
				answers[numbered(i)] = noBase(numbered(i))
			}
		}
		h.failsFor(answers)
		r := h.run(t, true, h.numbered(t, 20))
		notTried := 0
		for _, out := range r.outcomes {
			if len(out.Attempts) == 0 && strings.HasPrefix(out.Err.Error(), "not tried: ") {
				notTried++
			}
		}
		// Three fail alone, and the first of those that go together meets the shared stage. It gives its slot back before
		// the canary knows that it was the last attempt, so one more may slip in; never all the seventeen.
		if n := len(h.did("image")); n < 4 || n > 5 || notTried != 20-n {
			t.Errorf("%d were not tried, %d builds begun; want 4 or 5 begun, and no other tried", notTried, n)
		}
	})
}

// What was not tried says so, and because of what.
func TestNotTriedSaysWhy(t *testing.T) {
	h := native(t)
	synctest.Test(t, func(t *testing.T) {
		h.failsFor(map[string]error{numbered(0): noNetwork})
		r := h.run(t, true, h.numbered(t, 2))
		last := r.outcomes[1]
		const want = "not tried: repo__name-0 failed in stage acp-providers, which all images share (network)"
		if last.Err == nil || last.Err.Error() != want || len(last.Attempts) != 0 || failure.ClassOf(last.Err) != failure.ClassShared {
			t.Errorf("%v (%s, %d attempts), want %s", last.Err, failure.ClassOf(last.Err), len(last.Attempts), want)
		}
	})
}

// A cancelled run does not go through its images one by one.
func TestCancelledRunBeginsNoImage(t *testing.T) {
	h := native(t)
	synctest.Test(t, func(t *testing.T) {
		targets, r := h.numbered(t, 5), h.newRun(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.maker.All(ctx, targets)
		differ(t, "classes", map[failure.Class]int{failure.ClassCancelled: 5}, classes(r.outcomes))
		if begun := h.did("image"); len(begun) > 0 {
			t.Errorf("%v were begun", begun)
		}
	})
}

// As soon as the first image has got past what all share, the others begin, although it has not ended.
func TestOthersBeginWhenTheFirstHasPassed(t *testing.T) {
	t.Run("in a run", func(t *testing.T) {
		h := native(t)
		synctest.Test(t, func(t *testing.T) {
			h.run(t, true, h.numbered(t, 3))
			for i, e := range h.events[:3] {
				if want := map[bool]time.Duration{true: 30 * time.Second}[i > 0]; !strings.HasPrefix(e.what, "begin ") || e.at != want {
					t.Errorf("%s at %v, want it at %v", e.what, e.at, want)
				}
			}
		})
	})
	t.Run("one by one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			canary, begun := NewCanary(), make(chan time.Time, 3)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					_ = canary.Do(t.Context(), quietRetries(0), &outcome.Outcome{}, func() error {
						begun <- time.Now()
						time.Sleep(10 * time.Second)
						canary.Pass()
						time.Sleep(time.Minute)
						return nil
					})
				})
			}
			all.Wait()
			first, second, third := <-begun, <-begun, <-begun
			if a, b := second.Sub(first), third.Sub(first); a != 10*time.Second || b != 10*time.Second {
				t.Errorf("the others began %v and %v after the first, want 10s", a, b)
			}
		})
	})
}

// A failure of something shared, after the first image had got past it, is that image's own.
func TestPassedIsProof(t *testing.T) {
	canary := NewCanary()
	canary.Pass()
	shared := &failure.Error{Class: failure.ClassShared, Shared: "stage builder", Err: errors.New("npm")}
	for i := range 2 {
		tried := false
		err := canary.Do(t.Context(), quietRetries(0), &outcome.Outcome{}, func() error {
			tried = true
			return shared
		})
		if !tried || !errors.Is(err, shared) {
			t.Errorf("image %d was tried: %v, %v", i, tried, err)
		}
	}
}

func TestImagesThatComeByGoOneByOne(t *testing.T) {
	own := &failure.Error{Class: failure.ClassBaseMissing, Err: errors.New("not found")}
	shared := &failure.Error{Class: failure.ClassShared, Shared: "stage acp-providers", Err: errors.New("npm")}
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
				var mu sync.Mutex
				var all sync.WaitGroup
				canary, begin, begun := NewCanary(), time.Now(), 0
				for i := range 6 {
					all.Go(func() {
						out := &outcome.Outcome{Target: plan.Target{InstanceID: numbered(i)}}
						_ = canary.Do(t.Context(), quietRetries(0), out, func() error {
							mu.Lock()
							begun++
							mu.Unlock()
							time.Sleep(time.Minute)
							return c.err
						})
					})
				}
				all.Wait()
				if took := time.Since(begin); begun != c.begun || took != time.Duration(c.minutes)*time.Minute {
					t.Errorf("%d begun in %v, want %d in %d minutes", begun, took, c.begun, c.minutes)
				}
			})
		})
	}
}

// The reason why an earlier attempt could not rebase an image is not that of one that was rebased.
func TestRebasedImageHasNoReasonNotToBe(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxRetries = 2
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "a", "b"))
		targets := h.targets(t, "c", "d")
		plant := func(id, mark string) {
			h.push(t, ours+":"+key(t, h.bases[id]), mutate.Annotations(registrytest.EvalBase(h.bases[id], "unknown", "planted"),
				map[string]string{rebase.MarkAnnotation: mark}).(v1.Image))
		}
		plant("c", rebase.MarkRefused+"x")
		plant("d", rebase.MarkRefused+"y")
		h.hub.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/c/") { // its retries are not made while it goes alone
				time.Sleep(2 * time.Minute)
			}
			return false
		}
		h.fails = func(what string) error {
			if what != "image c" {
				return nil
			}
			plant("c", rebase.MarkPlain)
			return noNetwork
		}
		r := h.run(t, true, targets)
		differ(t, "images", map[string]string{"c": "rebase", "d": "native: the eval-base: y"}, r.made())
		differ(t, "natively", []string{"c", "d"}, h.did("image"))
	})
}
