package main

import (
	"os/exec"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-cmp/cmp"
)

// TestQuoteIsOneWordOfAShell has a shell read each value.
func TestQuoteIsOneWordOfAShell(t *testing.T) {
	cases := []string{"", "plain", "two words", "it's", "$HOME `id` \\ \"x\"", "a\nb", "*", "'"}
	for _, value := range cases {
		out, err := exec.Command("sh", "-c", "X="+quote(value)+"; printf %s \"$X\"").Output()
		if err != nil || string(out) != value {
			t.Errorf("a shell reads %s as %q, %v; want %q", quote(value), out, err, value)
		}
	}
}

func TestAssignments(t *testing.T) {
	part := func(name, value string) engine.Part {
		return engine.Part{Env: func(*engine.Engine) (map[string]string, error) { return map[string]string{name: value}, nil }}
	}
	got, err := assignments(nil, []engine.Part{part("LAB_B", "2 3"), {}, part("LAB_A", "1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("LAB_A='1'\nLAB_B='2 3'\n", got); diff != "" {
		t.Error(diff)
	}
}
