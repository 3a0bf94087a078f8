package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/rebase"
)

// What a base image leaves for the inspection becomes one of two marks, and nothing of it gets into the mark.
func FuzzInspection(f *testing.F) {
	f.Add("", passwd, group)
	f.Add("/agent-server as a folder\n/acp-node as a file\n", passwd, group)
	f.Add("::error::\x1b", "openhands", ":::")
	f.Add("", strings.Repeat("x", 17<<10), "\n\n")
	f.Fuzz(func(t *testing.T, paths, passwd, group string) {
		folder := t.TempDir()
		for name, text := range map[string]string{"paths": paths, "passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		mark, err := checkInspected(folder)
		if err != nil {
			mark = rebase.MarkRefused + err.Error()
		}
		if mark != rebase.MarkPlain && !strings.HasPrefix(mark, rebase.MarkRefused) || len(mark) > 300 || strings.Contains(mark, "::") {
			t.Errorf("the mark is %q", mark)
		}
		if mark == rebase.MarkPlain && (strings.TrimSpace(paths) != "" || !strings.Contains(passwd, "10001") || !strings.Contains(group, "10001")) {
			t.Errorf("it is plain with %q, %q, %q", paths, passwd, group)
		}
	})
}
