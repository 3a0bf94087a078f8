package act

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFollow reads lines of act 0.2.89. A composite action's steps must not count as the job's, and act's last line is
// not JSON.
func TestFollow(t *testing.T) {
	const lines = `{"job":"J/build","msg":"⭐ Run Main Make a builder","stage":"Main","step":"Make a builder","stepID":["buildx"]}
{"arg":"inner","command":"set-output","job":"J/build","msg":"x","name":"name","stage":"Main","step":"Fake builder","stepID":["buildx","builder"]}
{"job":"J/build","msg":"x","stage":"Main","step":"Fake builder","stepID":["buildx","builder"],"stepResult":"failure"}
{"arg":"a builder","command":"set-output","job":"J/build","msg":"x","name":"name","stage":"Main","step":"Make a builder","stepID":["buildx"]}
{"job":"J/build","msg":"✅ Success - Main Make a builder","stage":"Main","step":"Make a builder","stepID":["buildx"],"stepResult":"success"}
{"command":"summary","content":"## one\n","job":"J/build","msg":"Summary - ## one\n","stage":"Main","step":"Build","stepID":["images"]}
{"job":"J/build","msg":"post","stage":"Post","step":"Make a builder","stepID":["buildx"],"stepResult":"failure"}
Error: Job 'build' failed
`
	cmd := exec.Command("sh", "-c", `printf %s "$LINES"; exit 1`)
	cmd.Env = []string{"LINES=" + lines}
	got, err := follow(cmd, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Job: "J/build", Name: "Make a builder", Result: "success", Outputs: map[string]string{"name": "a builder"}},
		{Job: "J/build", Name: "Build", Outputs: map[string]string{}, Summary: "## one\n"},
	}
	if diff := cmp.Diff(want, got.Steps); diff != "" || got.ExitCode != 1 {
		t.Errorf("exit code %d, want 1; steps (-want +got):\n%s", got.ExitCode, diff)
	}
}

// TestUploaded: a file that an executed input left beside the uploads must be seen.
func TestUploaded(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "record"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"record/build-record.tar.gz", "owned"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := uploaded(dir)
	want := map[string]string{"record": filepath.Join(dir, "record", "build-record.tar.gz"), "owned": filepath.Join(dir, "owned")}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
