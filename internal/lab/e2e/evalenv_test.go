package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEvalEnvironments makes the images of SWT-Bench's evaluation of six instances, as a fake of swt-bench describes them: small ones,
// in three environments. No image of an agent can be made, for want of base images, and that must not keep environments from it.
func TestEvalEnvironments(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	s := step(t, repo, nil, map[string]string{
		"benchmark": "swtbench", "dataset": "rows.jsonl", "strategy": "native", "max-retries": "0",
		"build-eval-env": "true", "eval-image-prefix": lab["LAB_REGISTRY_INSIDE"] + "/" + repo + "-swt",
		"swt-bench-repository": "file:///github/workspace/harness", "eval-env-build-batch-size": "1",
	})
	fakeHarness(t, filepath.Join(s.Workspace, "harness"))
	rows := func(versions ...string) {
		var ids []string
		for i := range versions {
			ids = append(ids, fmt.Sprintf("owner__plain-%d", i))
		}
		writeRows(t, filepath.Join(s.Workspace, "rows.jsonl"), ids, versions)
	}

	rows("1", "2", "3", "1", "2", "3")
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{
		"total": "6", "failed": "6", "eval-env-total": "4", "eval-env-built": "4", "eval-env-skipped": "0", "eval-env-failed": "0",
	})
	if !strings.Contains(got.Summary, "Environment images of SWT-Bench") {
		t.Errorf("the step summary has no section about them:\n%s", got.Summary)
	}
	if looks := strings.Count(got.Log, "disk: the builder's cache holds "); looks < 2 { // there would be one with the default of 10
		t.Errorf("%d looks at the disk, want one after each environment", looks)
	}
	accepted(t, s.Workspace, repo+"-swt", 3)

	got = start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"eval-env-total": "4", "eval-env-built": "0", "eval-env-skipped": "4", "eval-env-failed": "0"})

	rows("1", "2", "3", "4", "broken", "broken")
	got = start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"eval-env-total": "6", "eval-env-built": "1", "eval-env-skipped": "4", "eval-env-failed": "1"})
	accepted(t, s.Workspace, repo+"-swt", 5)
}

// writeRows writes a dataset of instances that need the environments of these versions.
func writeRows(t *testing.T, path string, ids, versions []string) {
	t.Helper()
	var lines strings.Builder
	for i, id := range ids {
		line, _ := json.Marshal(map[string]string{ // encoding strings never fails
			"instance_id": id, "repo": "owner/plain", "version": versions[i], "base_commit": "base",
		})
		fmt.Fprintf(&lines, "%s\n", line)
	}
	write(t, lines.String(), path)
}

// fakeHarness makes a git repository of the fake of swt-bench.
func fakeHarness(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "internal/evalenv/testdata/harness"))); err != nil {
		t.Fatal(err)
	}
	constants := filepath.Join(dir, "src/constants.py")
	text, err := os.ReadFile(constants)
	if err != nil {
		t.Fatal(err)
	}
	write(t, strings.ReplaceAll(string(text), "@BASE@", "python:3.13-bookworm"), constants)
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "."}, {"-c", "user.name=lab", "-c", "user.email=lab@example.com", "commit", "--quiet", "--message", "fake"},
	} {
		if out, err := command("git", append([]string{"-C", dir}, args...)...); err != nil {
			t.Fatal(out, err)
		}
	}
}

// accepted pulls the images of a run's plan as the evaluation does, and fails for environments that it would throw away: those made
// before their base, by the engine's own texts.
func accepted(t *testing.T, workspace, prefix string, environments int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(workspace, "builds/rows.jsonl/test/eval-env-summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		BaseImages []string          `json:"base_images"`
		EnvImages  []string          `json:"env_images"`
		Failed     map[string]string `json:"failed_images"`
	}
	if err := json.Unmarshal(text, &summary); err != nil {
		t.Fatal(err)
	}
	if len(summary.BaseImages) != 1 || len(summary.EnvImages) != environments {
		t.Fatalf("the summary has the bases %v and environments %v", summary.BaseImages, summary.EnvImages)
	}
	created := map[string]string{}
	for _, key := range slices.Concat(summary.BaseImages, summary.EnvImages) {
		if name, _, _ := strings.Cut(key, ":"); summary.Failed[name] != "" {
			continue
		}
		image := lab["LAB_REGISTRY"] + "/" + prefix + "/" + key
		docker(t, "pull", "--quiet", image)
		created[key] = strings.TrimSpace(docker(t, "image", "inspect", "--format", "{{.Created}}", image))
		docker(t, "rmi", "--force", image)
	}
	for key, at := range created {
		if base := created[summary.BaseImages[0]]; at < base {
			t.Errorf("the evaluation throws away %s of %s: its base is of %s", key, at, base)
		}
	}
}
