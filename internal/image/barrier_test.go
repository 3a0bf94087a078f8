package image

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// brokenShared is how docker ends when a stage fails that all images share.
var brokenShared = &sdk.BuildFailure{ReturnCode: 1, Command: []string{"docker", "buildx", "build"}, Tail: `------
 > [builder 3/5] RUN make:
no rule
------
ERROR: failed to build: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2`}

// What fails for all images is met once: nobody else is tried, also where one reference was there.
func TestSharedFailureOfRebase(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h"} // more than are tried as references
	cases := []struct {
		name   string
		what   string
		forget string
		tried  string
	}{
		{"of the references", "image", "1 2", "a"},
		{"of the second reference", "image", "2", "a"},
		{"of the eval-bases", "eval-base", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			h.settings.Verify = 1
			synctest.Test(t, func(t *testing.T) {
				if c.forget == "" {
					h.run(t, true, h.targets(t, "x", "y"))
				} else {
					h.run(t, true, h.targets(t, append([]string{"x", "y"}, ids...)...))
					for i := range strings.FieldsSeq(c.forget) {
						h.delete(t, h.reference(i))
					}
					for _, target := range h.targets(t, ids...) {
						h.delete(t, target.Tags[0])
					}
				}
				h.fails = func(what string) error {
					if strings.HasPrefix(what, c.what) || strings.HasPrefix(what, "comparison") {
						return brokenShared
					}
					return nil
				}
				r := h.run(t, true, h.targets(t, ids...))
				tried := 0
				for _, e := range r.outcomes {
					text, class := e.Err.Error(), failure.ClassOf(e.Err)
					if class != failure.ClassShared || e.NotRebased != "" {
						t.Errorf("%s: %s, %s, %s", e.Target.InstanceID, class, text, e.NotRebased)
					}
					if !strings.HasPrefix(text, "not tried: ") {
						tried++
					}
				}
				builds := append(h.did("image"), slices.Concat(h.did("eval-base"), h.did("comparison"))...)
				if len(r.outcomes) != len(ids) || tried != 1 || len(builds) != 1 {
					t.Errorf("%d images, %d of them say that they were tried, and %v were", len(r.outcomes), tried, builds)
				}
				if stages := h.did("base stage"); len(stages) > 2 { // those that were begun beside the first reference
					t.Errorf("base stages that nobody needs were made: %v", stages)
				}
			})
		})
	}
}

// There is no barrier: one eval-base that is slow, or fails, holds no other image.
func TestNoBarrier(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxWorkers = 8
	h.takes = func(what string) time.Duration {
		if what == "eval-base d" {
			return time.Hour - time.Minute
		}
		return time.Minute
	}
	h.fails = func(what string) error {
		if what == "eval-base e" {
			return errors.New("no space left on device")
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "a", "b", "c", "d", "e", "f")
		h.hub.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/d/") { // which is not the first one, that goes alone
				time.Sleep(time.Second)
			}
			return false
		}
		r := h.run(t, true, targets)
		differ(t, "images", map[string]string{
			"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "disk-full", "f": "rebase",
		}, r.made())
		for _, e := range r.outcomes {
			if late := e.Finished.Sub(start) > 30*time.Minute; late != (e.Target.InstanceID == "d") {
				t.Errorf("%s ended after %v", e.Target.InstanceID, e.Finished.Sub(start))
			}
		}
	})
}

// All images wait for the references, so these do not wait until the eval-bases of all images are made.
func TestReferencesGoBeforeMostEvalBases(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxWorkers = 2
	h.takes = func(string) time.Duration { return time.Minute }
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, strings.Split("a b c d e f g h i j k l m n o p q r s t", " ")...)
		r := h.run(t, true, targets)
		for _, e := range r.outcomes {
			if took := e.Finished.Sub(start); e.Strategy == outcome.Native && took > 7*time.Minute {
				t.Errorf("the reference %s ended after %v, want at most 7m: 20 eval-bases take 10m", e.Target.InstanceID, took)
			}
		}
		if natives := len(h.did("image")); natives != 2 {
			t.Errorf("%d images were built natively, want the 2 references", natives)
		}
	})
}
