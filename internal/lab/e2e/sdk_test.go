package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRealSDK runs the sdk package's tests inside the action's image, on the SDK's real module: it needs the Python and
// the uv that are there.
func TestRealSDK(t *testing.T) {
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
		"--tmpfs", "/small:size=256k", "--env", "EVAL_IMAGES_SMALL_DISK=/small",
		"--env", "EVAL_IMAGES_REAL_SDK=1", "--env", "CI=true", "--env", "LAB_SDK_REFS="+lab["LAB_SDK_REFS"],
		"--env", "LAB_SDK_REPOSITORY_INSIDE="+lab["LAB_SDK_REPOSITORY_INSIDE"], lab["LAB_ACTION_IMAGE"], "-test.v", "-test.count=1")
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
}
