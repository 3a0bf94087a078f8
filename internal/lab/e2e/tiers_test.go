package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// TestSeamTiers builds an image with the real module and Dockerfile of a release of each kind. A uv on PATH counts the
// sdist builds.
func TestSeamTiers(t *testing.T) {
	t.Parallel()
	image, id := countingImage(t), instances(t, 1)[0]
	cases := []struct {
		ref, options, seam string
		ignoresCacheMode   bool
	}{
		{"v1.13.1", "", "intercept", true},
		{"v1.14.0", "", "native-field", true}, // the first with the field, and the last without cache modes
		{lab["LAB_SDK_REF"], lab["LAB_SDK_OPTIONS"], "native-field", false},
	}
	for _, c := range cases {
		t.Run(c.ref, func(t *testing.T) {
			repo := repository(t)
			s := step(t, repo, []string{id}, map[string]string{"sdk-ref": c.ref, "sdk-options": c.options, "max-workers": "1"})
			s.Image = image
			got := start(t, s).Wait()
			checkOutputs(t, got, 0, map[string]string{"built": "1", "seam": c.seam, "sdk-version": strings.TrimPrefix(c.ref, "v")})
			if runs := sdistBuilds(t, s.Workspace); len(runs) != 1 {
				t.Errorf("uv built %d sdists, want 1: %q", len(runs), runs)
			}
			prefix, _ := phasedPrefixAt(t, c.ref)
			if c.options != "" {
				prefix += "-" + sha7([]byte(c.options+"\n"))
			}
			there := digestInRegistry(t, repo, phasedTag(prefix, id))
			if built := ledger(t, s.Workspace, got)[id]; there == "" || there != built.Digest {
				t.Errorf("the registry has %q under the evaluation's tag, the ledger says %q", there, built.Digest)
			}
			if warned(got, "ignores cache-mode off") != c.ignoresCacheMode {
				t.Errorf("said that this SDK ignores the cache mode: %t, want %t", !c.ignoresCacheMode, c.ignoresCacheMode)
			}
		})
	}
}

// warned reports whether a warning with this text was shown and is in the summary.
func warned(got runner.Result, text string) bool {
	for _, a := range got.Annotations {
		if a.Level == "warning" && strings.Contains(a.Message, text) && strings.Contains(got.Summary, text) {
			return true
		}
	}
	return false
}

// TestNoSeam builds with a copy of the newest release that takes no prebuilt sdist. Each image makes its own, and the
// run says so.
func TestNoSeam(t *testing.T) {
	t.Parallel()
	id := instances(t, 1)[0]
	s := step(t, repository(t), []string{id}, map[string]string{"sdk-repository": "file:///sdk.git", "sdk-ref": "no-seam"})
	s.Image = withoutSeam(t, countingImage(t))
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "1", "seam": "none"})
	if runs := sdistBuilds(t, s.Workspace); len(runs) != 2 {
		t.Errorf("uv built %d sdists, want the run's and the image's: %q", len(runs), runs)
	}
	if !warned(got, "takes no prebuilt sdist") {
		t.Errorf("no warning that there is no seam: %+v", got.Annotations)
	}
	if !strings.Contains(got.Summary, "Sdist builds in this run: **2**") {
		t.Errorf("the summary does not count two sdists:\n%s", got.Summary)
	}
}

// withoutSeam is an image of the action that has such an SDK at /sdk.git.
func withoutSeam(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	sdk := filepath.Join(dir, "sdk")
	git := func(args ...string) {
		args = append([]string{"-c", "user.name=lab", "-c", "user.email=lab@localhost"}, args...)
		if _, err := command("git", args...); err != nil {
			t.Fatal(err)
		}
	}
	git("clone", "--quiet", "--depth=1", "--branch", lab["LAB_SDK_REF"], lab["LAB_SDK_REPOSITORY"], sdk)
	module := filepath.Join(sdk, "openhands-agent-server/openhands/agent_server/docker/build.py")
	text, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	renamed := strings.NewReplacer("prebuilt_sdist", "finished_sdist", "_run(", "_execute(").Replace(string(text))
	write(t, renamed, module)
	git("-C", sdk, "checkout", "--quiet", "-b", "no-seam")
	git("-C", sdk, "commit", "--quiet", "--all", "--message", "Take the seam away")
	git("clone", "--quiet", "--bare", sdk, filepath.Join(dir, "sdk.git"))
	write(t, "FROM "+image+"\nCOPY sdk.git /sdk.git\n", dir, "Dockerfile")
	const name = "eval-images-lab/no-seam-action"
	docker(t, "build", "--quiet", "--tag", name, dir)
	return name
}
