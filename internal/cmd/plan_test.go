package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A dry run has no ledger to record in what a cancel has stopped.
func TestCancelledDryRunPrintsNoPlan(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte(`{"instance_id": "a__a-1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, more := range [][]string{nil, {"--sdk-ref", "v1", "--sdk-repository", "file://" + dir}} {
		var out bytes.Buffer
		args := append([]string{"--dry-run", "--dataset", "x.jsonl"}, more...)
		if code := Run(ctx, Process{Args: args, Stdout: &out, Dir: dir, Environ: []string{"TMPDIR=" + t.TempDir()}}); code != ExitCancelled {
			t.Errorf("%q ended with %d, want %d:\n%s", more, code, ExitCancelled, &out)
		}
		if strings.Contains(out.String(), "a__a-1") {
			t.Errorf("%q printed a plan all the same:\n%s", more, &out)
		}
	}
}
