package pipeline

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

// A registry that did not answer once is asked again, and so is one that refused while it answered others; where it asks to
// wait, also without further attempts.
func TestAskedAgain(t *testing.T) {
	outcome := func(id string, err error) build.Outcome {
		return build.Outcome{Target: plan.Target{InstanceID: id}, Err: err}
	}
	done := []build.Outcome{
		outcome("there", nil),
		outcome("502", &build.Error{Class: build.ClassRegistry, Err: errors.New("502")}),
		outcome("401", &build.Error{Class: build.ClassAuth, Err: errors.New("401")}),
		outcome("429", &build.Error{Class: build.ClassRateLimit, Err: errors.New("429")}),
		outcome("no connection", &build.Error{Class: build.ClassNetwork, Err: errors.New("EOF")}),
		outcome("cancelled", &build.Error{Class: build.ClassCancelled, Err: errors.New("x")}),
	}
	cases := []struct {
		maxRetries int
		again      []string
		final      int
	}{
		{2, []string{"502", "401", "429", "no connection"}, 2},
		{0, []string{"429"}, 5},
	}
	for _, c := range cases {
		again, final := askedAgain(done, c.maxRetries)
		var ids []string
		for _, target := range again {
			ids = append(ids, target.InstanceID)
		}
		if diff := cmp.Diff(c.again, ids); diff != "" || len(final) != c.final {
			t.Errorf("with %d retries %d are final, want %d (-want +got):\n%s", c.maxRetries, len(final), c.final, diff)
		}
	}
}
