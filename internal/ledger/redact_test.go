package ledger

import (
	"strings"
	"testing"
)

// TestRunIsRedacted: what programs and servers said may repeat a secret.
func TestRunIsRedacted(t *testing.T) {
	r := Run{
		SetupError: "s3cret", Sdist: Sdist{Error: "s3cret"}, Warnings: []string{"s3cret"}, RecordErrors: []string{"s3cret"},
		Rebase: Rebase{Verified: []Verified{{Differences: []string{"s3cret"}}}}, EvalEnv: &EvalEnv{Problem: "s3cret"},
	}
	r.Redact(func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") })
	for name, got := range map[string]string{
		"set-up": string(r.SetupError), "sdist": string(r.Sdist.Error), "warning": r.Warnings[0], "record": r.RecordErrors[0],
		"difference": r.Rebase.Verified[0].Differences[0], "environments": string(r.EvalEnv.Problem),
	} {
		if got != "***" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
