package e2e

import (
	"maps"
	"strings"
	"testing"
)

// smallest makes a run build a stage of the SDK's Dockerfile that takes seconds.
var smallest = map[string]string{"target": "base-image-minimal", "strategy": "native"}

// TestBuilderIsLost takes the builder away in the middle of a build. A run brings its own builder back, and completes. It makes
// none in the place of one that it was given.
func TestBuilderIsLost(t *testing.T) {
	t.Run("an own builder is killed", func(t *testing.T) {
		t.Parallel()
		s := ownBuilder(t, instances(t, 1), smallest)
		run := start(t, s)
		name := waitForBuild(t, run)
		docker(t, "kill", "--signal", "KILL", "buildx_buildkit_"+name+"0")
		got := run.Wait()
		checkOutputs(t, got, 0, map[string]string{"built": "1", "failed": "0", "retried": "1"})
		for _, text := range []string{"engine-gone: ", "The builder " + name + " had ended; it was started again."} {
			if !strings.Contains(got.Log, text) || !strings.Contains(got.Summary, "had ended") {
				t.Errorf("log or summary do not say %q:\n%s", text, got.Summary)
			}
		}
		nothingLeft(t, name)
	})
	t.Run("an adopted builder is removed", func(t *testing.T) {
		t.Parallel()
		name := adoptable(t, "gone", labConfig(t))
		node := "buildx_buildkit_" + name + "0"
		inputs := map[string]string{"builder": name}
		maps.Copy(inputs, smallest)
		s := step(t, repository(t), instances(t, 2), inputs)
		run := start(t, s)
		waitFor(t, run, "the registry accepts pushes")
		waitForCache(t, name)
		docker(t, "rm", "--force", node)
		got := run.Wait()
		checkOutputs(t, got, 3, map[string]string{"built": "0", "failed": "2"})
		for id, line := range ledger(t, s.Workspace, got) {
			if line.ErrorClass != "engine-gone" {
				t.Errorf("%s failed by %s: %s", id, line.ErrorClass, line.Error)
			}
		}
		if !strings.Contains(got.Log, "its container "+node+" was removed during the run") || !strings.Contains(got.Log, "hint: make the builder again") {
			t.Error("the log does not say what to do")
		}
		if made := docker(t, "ps", "--all", "--quiet", "--filter", "name="+node); made != "" {
			t.Errorf("container %s was made in the place of the builder", made)
		}
	})
}
