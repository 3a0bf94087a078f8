package image

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// A BuildKit that is stopped or killed may say anything of the builds that it leaves, also that a shared stage has failed.
func TestBuildWhoseBuildKitEndedIsTriedAgain(t *testing.T) {
	const sharedStage = "------\n > [builder 2/7] RUN make:\n------\nERROR: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 137"
	cases := []struct {
		name    string
		said    error
		restart bool
		want    failure.Class // of the first attempt
	}{
		{"a shared stage failed", &sdk.BuildFailure{ReturnCode: 1, Tail: sharedStage}, true, failure.ClassEngine},
		{"a step was cancelled", &sdk.BuildFailure{ReturnCode: 1, Tail: "ERROR: failed to solve: Canceled: context canceled"}, true, failure.ClassEngine},
		{"nothing", errors.New("x"), true, failure.ClassEngine},
		{"the disk is full", &sdk.BuildFailure{ReturnCode: 1, Tail: "ERROR: write /x: no space left on device"}, true, failure.ClassDisk},
		{"a failure of the image's own", &sdk.BuildFailure{ReturnCode: 1, Tail: "ERROR: x"}, false, failure.ClassBuild},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			h.settings.MaxRetries = 1
			failed := false
			h.fails = func(string) error {
				if failed {
					return nil
				}
				failed = true
				if c.restart {
					h.restarts.Add(1)
				}
				return fmt.Errorf("asking a worker: %w", c.said)
			}
			synctest.Test(t, func(t *testing.T) {
				r := h.run(t, true, h.targets(t, "a", "b"))
				differ(t, "images", map[string]string{"a": "native: strategy native", "b": "native: strategy native"}, r.made())
				var first *outcome.Outcome
				for _, out := range r.outcomes {
					if len(out.Attempts) == 2 {
						first = out
					}
				}
				if first == nil || failure.ClassOf(first.Attempts[0].Err) != c.want {
					t.Errorf("outcomes %+v; want one with a first attempt that failed as %s", r.outcomes, c.want)
				}
			})
		})
	}
}
