package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSharedStageFails uses an SDK whose builder stage fails, which every image needs. One image fails as often as
// max-retries allows; the others are not tried.
func TestSharedStageFails(t *testing.T) {
	t.Parallel()
	s := step(t, repository(t), instances(t, 3), map[string]string{
		"sdk-repository": "file:///github/workspace/sdk", "max-retries": "1", "strategy": "native",
	})
	changeSDK(t, filepath.Join(s.Workspace, "sdk"), "echo not today >&2; exit 3")
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"built": "0", "failed": "3", "retried": "1"})
	tried := 0
	for id, line := range ledger(t, s.Workspace, got) {
		switch {
		case line.ErrorClass != "shared-stage":
			t.Errorf("%s failed by %s: %s", id, line.ErrorClass, line.Error)
		case line.Attempts == 2 && line.LogPath != "":
			tried++
		case line.Attempts != 0 || line.LogPath != "" || !strings.Contains(line.Error, "failed in stage builder, which all images share"):
			t.Errorf("%s: %d attempts, log %q, %s; want it not tried, and why", id, line.Attempts, line.LogPath, line.Error)
		}
	}
	if tried != 1 {
		t.Errorf("%d images were tried, want 1", tried)
	}
	if !strings.Contains(got.Summary, "(<code>shared-stage</code>)") {
		t.Errorf("the summary does not say what to do:\n%s", got.Summary)
	}
}

// changeSDK copies the lab's SDK repository, and lets the builder stage begin with a command.
func changeSDK(t *testing.T, dir, first string) {
	t.Helper()
	git := func(args ...string) {
		t.Helper()
		if _, err := command("git", args...); err != nil {
			t.Fatal(err)
		}
	}
	git("clone", "--quiet", "--branch", lab["LAB_SDK_REF"], lab["LAB_SDK_REPOSITORY"], dir)
	path := filepath.Join(dir, "openhands-agent-server/openhands/agent_server/docker/Dockerfile")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const stage = " AS builder\n"
	changed := strings.Replace(string(text), stage, stage+"RUN "+first+"\n", 1)
	if changed == string(text) {
		t.Fatal("the SDK's Dockerfile has no builder stage")
	}
	write(t, changed, path)
	git("-C", dir, "-c", "user.name=lab", "-c", "user.email=lab@localhost", "commit", "--quiet", "--all", "--message", "change the builder stage")
	git("-C", dir, "tag", "--force", lab["LAB_SDK_REF"])
}
