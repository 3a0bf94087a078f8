package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// TestSDKPath takes the SDK from the workspace: a shallow submodule that belongs to another user, at a HEAD that exists
// nowhere else. The image has no base, so the run ends soon after the set-up.
func TestSDKPath(t *testing.T) {
	t.Parallel()
	s := step(t, repository(t), []string{withoutBase}, nil)
	usePath(&s, "third party/sdk")
	sdk := filepath.Join(s.Workspace, "third party", "sdk")
	git(t, s.Workspace, "init", "--quiet")
	git(t, s.Workspace, "submodule", "--quiet", "add", "--depth=1", "--branch", "main", lab["LAB_SDK_REPOSITORY"], "third party/sdk")
	write(t, "local\n", sdk, "README.md")
	git(t, sdk, "commit", "--quiet", "--all", "--message", "local")
	head := git(t, sdk, "rev-parse", "HEAD")
	changeOwner(t, s.Workspace)
	before := everyFile(t, sdk)

	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"failed": "1", "sdk-sha": head, "seam": "native-field"})
	if lost := ledger(t, s.Workspace, got)[withoutBase]; !strings.Contains(lost.Error, "not found") {
		t.Errorf("the image failed with %q, want that its base is not found", lost.Error)
	}
	after := everyFile(t, sdk)
	for path, info := range after {
		if before[path] != info {
			t.Errorf("%s was %q and is %q", path, before[path], info)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
}

// TestUncommittedChanges: they are refused and listed in the summary.
func TestUncommittedChanges(t *testing.T) {
	t.Parallel()
	s := step(t, repository(t), []string{withoutBase}, nil)
	sdk := checkedOut(t, &s)
	write(t, "x", sdk, "notes.txt")
	write(t, "x", sdk, "README.md")
	changeOwner(t, s.Workspace)
	got := start(t, s).Wait()
	checkOutputs(t, got, 2, map[string]string{"total": "1", "built": "0"})
	for _, want := range []string{`sdk-path "sdk" has 2 uncommitted changes:`, "modified: README.md", "untracked: notes.txt", "hint: commit them"} {
		if !strings.Contains(got.Log, want) || !strings.Contains(unescaped(got.Summary), want) {
			t.Errorf("log or summary lacks %q:\n%s\n%s", want, got.Log, got.Summary)
		}
	}
	var told []runner.Annotation
	for _, a := range got.Annotations {
		if a.Level == "error" {
			told = append(told, a)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0].Message, "notes.txt") {
		t.Errorf("error annotations %+v, want one with the list", told)
	}
}

// changeOwner makes the runner's user the owner of a workspace, which the container's user is not.
func changeOwner(t *testing.T, workspace string) {
	t.Helper()
	if os.Getuid() != 0 {
		return // It is so already.
	}
	err := filepath.WalkDir(workspace, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 1001, 1001)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// everyFile describes the files and folders below root.
func everyFile(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			found[path] = info.Mode().String() + " " + info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRealSDK runs the sdk package's tests with the SDK's real module, inside the action's image, because they need its
// Python and uv.
func TestRealSDK(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "sdk.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "./internal/sdk")
	build.Dir = root
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the tests: %v\n%s", err, out)
	}
	sources, err := filepath.Abs(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "docker", "run", "--rm", "--network", lab["LAB_NETWORK"], "--init",
		"--volume", binary+":/sdk.test:ro", "--volume", sources+":/internal:ro", "--workdir", "/internal/sdk", "--entrypoint", "/sdk.test",
		"--volume", runner.PackagesMount(lab["LAB_PACKAGES"]),
		"--env", "UV_CACHE_DIR="+runner.UsePackages["UV_CACHE_DIR"], "--env", "UV_LINK_MODE="+runner.UsePackages["UV_LINK_MODE"],
		"--tmpfs", "/small:size=256k", "--env", "EVAL_IMAGES_SMALL_DISK=/small",
		"--env", "EVAL_IMAGES_REAL_SDK=1", "--env", "CI=true", "--env", "LAB_SDK_REFS="+lab["LAB_SDK_REFS"],
		"--env", "LAB_SDK_REPOSITORY_INSIDE="+lab["LAB_SDK_REPOSITORY_INSIDE"], lab["LAB_ACTION_IMAGE"], "-test.v", "-test.count=1")
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
}
