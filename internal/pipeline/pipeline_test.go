package pipeline

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/registry"
)

func TestExitCode(t *testing.T) {
	cases := []struct {
		name      string
		cancelled bool
		err       error
		failed    int
		want      int
	}{
		{"all there", false, nil, 0, ExitOK},
		{"some failed", false, nil, 2, ExitFailed},
		{"a wrong input", false, refusal{errors.New("x")}, 0, ExitBadInput},
		{"a set-up that failed", false, errors.New("x"), 0, ExitSetup},
		{"cancelled, whatever failed by that", true, errors.New("x"), 3, ExitCancelled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.cancelled, c.err, c.failed); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	one, two, three := errors.New("1"), errors.New("2"), errors.New("3")
	var got []string
	for _, err := range split(refusal{errors.Join(errors.Join(one, two), three)}) {
		got = append(got, err.Error())
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDescribed(t *testing.T) {
	err := fmt.Errorf("planning: %w", &config.InputError{Input: "max-workers", Problem: "is 0", Fix: "write 1 or more"})
	if got, want := described(err), "planning: max-workers: is 0\nhint: write 1 or more"; got != want {
		t.Errorf("described = %q, want %q", got, want)
	}
}

// One image's bad luck is that image's failure; what every image would meet ends the run before its first build.
func TestRefusedAll(t *testing.T) {
	answer := func(code int) build.Outcome {
		return build.Outcome{Err: fmt.Errorf("asking: %w", &transport.Error{StatusCode: code})}
	}
	refused := build.Outcome{Err: fmt.Errorf("asking: %w", &registry.Refused{Doing: "asking", Err: errors.New("401")})}
	silent := build.Outcome{Err: errors.New("no such host")}
	there := build.Outcome{}
	cases := []struct {
		name    string
		done    []build.Outcome
		missing int
		want    bool
	}{
		{"nothing to ask", nil, 0, false},
		{"all there", []build.Outcome{there, there}, 0, false},
		{"wrong credentials", []build.Outcome{there, refused}, 1, true},
		{"no registry at all", []build.Outcome{silent, silent}, 0, true},
		{"one lost connection", []build.Outcome{there, silent}, 0, false},
		{"one lost connection, the others missing", []build.Outcome{silent}, 3, false},
		{"an overloaded registry", []build.Outcome{answer(http.StatusTooManyRequests), silent}, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := refusedAll(c.done, c.missing, "r/i"); (err != nil) != c.want {
				t.Errorf("refusedAll = %v, want an error: %v", err, c.want)
			}
		})
	}
}
