package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
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
		{"a wrong input", false, badInput{errors.New("x")}, 0, ExitBadInput},
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

func TestSplitTakesAllErrorsApart(t *testing.T) {
	one, two, three := errors.New("1"), errors.New("2"), errors.New("3")
	var got []string
	for _, err := range split(badInput{errors.Join(errors.Join(one, two), three)}) {
		got = append(got, err.Error())
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsEndWithTheirHint(t *testing.T) {
	err := fmt.Errorf("planning: %w", &config.InputError{Input: "max-workers", Problem: "is 0", Fix: "write 1 or more"})
	if got, want := withHint(err), "planning: max-workers: is 0\nhint: write 1 or more"; got != want {
		t.Errorf("withHint = %q, want %q", got, want)
	}
}

// A registry, a dataset or an SDK decides what is in an error and in a hint, but not how long they are.
func TestErrorsAndHintsAreShort(t *testing.T) {
	long := strings.Repeat("é::error::\n", 1_000_000)
	err := fmt.Errorf("planning: %w: the cause", &config.InputError{Input: "dataset", Problem: long, Fix: "write " + long})
	got := withHint(err)
	text, hint, _ := strings.Cut(got, "\nhint: ")
	if len(text) > maxError || len(hint) > maxError || !strings.HasPrefix(text, "planning: ") || !strings.HasSuffix(text, ": the cause") || !utf8.ValidString(got) {
		t.Errorf("an error of %d bytes, a hint of %d: %q", len(text), len(hint), text)
	}
}
