package sdkrepo

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Each commit has files of its own, because a builder reuses layers of equal files.
func TestCommits(t *testing.T) {
	from := t.TempDir()
	file := filepath.Join("openhands-agent-server", "openhands", "agent_server", "__init__.py")
	if err := os.MkdirAll(filepath.Join(from, filepath.Dir(file)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, "README.md"} {
		if err := os.WriteFile(filepath.Join(from, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "release"},
		{"tag", "v1"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", from}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c := Commits{Folder: filepath.Join(t.TempDir(), "sdk.git"), Ref: "v1"}
	if err := c.Clone(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	trees := map[string]bool{}
	for range 2 {
		branch, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changed, err := c.git(t.Context(), "diff", "--name-only", "v1", branch)
		if err != nil || changed != filepath.ToSlash(file) {
			t.Errorf("%s differs in %q (%v), want %s", branch, changed, err, file)
		}
		tree, err := c.git(t.Context(), "rev-parse", branch+"^{tree}")
		if err != nil {
			t.Fatal(err)
		}
		trees[tree] = true
	}
	if len(trees) != 2 {
		t.Errorf("two commits have %d trees", len(trees))
	}
}
