package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/lab/bases"
	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// sphinxWithoutPip is a real instance for which the lab has no base image. The test gives it one in which no package
// can be installed.
const sphinxWithoutPip = "sphinx-doc__sphinx-8595"

// wrapPackages are the packages that an evaluation needs in Sphinx's images.
const wrapPackages = "docutils<0.21 roman"

// TestSphinx builds one image of sphinx-doc, one that cannot be wrapped, and three ordinary ones in one run. The
// references are ordinary ones.
func TestSphinx(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	ids := instances(t, bases.Ordinary+1)
	ordinary, sphinx := ids[0], ids[bases.Ordinary]
	addBase(t, ordinary, sphinxWithoutPip)
	s := step(t, repo, []string{ordinary, ids[2], ids[3], sphinx, sphinxWithoutPip}, nil)
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"total": "5", "built": "4", "failed": "1", "failed-instances": `["` + sphinxWithoutPip + `"]`})
	lines := ledger(t, s.Workspace, got)
	if lines[sphinx].Strategy != "rebase" {
		t.Errorf("the image that was wrapped is %+v, want it rebased", lines[sphinx])
	}
	// The last one should be verified, and was not made: the next to last takes its place.
	if v := facts(t, s.Workspace, got).Verified; len(v) != 1 || v[0].Instance != sphinx || v[0].Result != "ok" {
		t.Errorf("verified %+v, want the wrapped one, and that it is equal", v)
	}

	t.Run("tags are what the evaluation pulls", func(t *testing.T) { tagsAreTheEvaluations(t, s, repo, got) })
	t.Run("the packages are there", func(t *testing.T) { importsRoman(t, lines[sphinx]) })
	t.Run("the configuration is as without", func(t *testing.T) { configured(t, repo, sphinx, lines[sphinx], lines[ordinary]) })
	t.Run("a failed wrap leaves no image", func(t *testing.T) { leavesNothing(t, s, repo, lines[sphinxWithoutPip]) })
	t.Run("the record says it", func(t *testing.T) {
		wrapped := map[string]string{}
		for id, line := range lines {
			wrapped[id] = line.Wrapped
			if line.BaseImage != strings.Replace(baseImage(id), lab["LAB_REGISTRY"], lab["LAB_REGISTRY_INSIDE"], 1) {
				t.Errorf("the ledger has the base image %s for %s", line.BaseImage, id)
			}
		}
		if diff := cmp.Diff(map[string]string{ordinary: "", ids[2]: "", ids[3]: "", sphinx: wrapPackages, sphinxWithoutPip: ""}, wrapped); diff != "" {
			t.Errorf("the ledger's wraps (-want +got):\n%s", diff)
		}
		if !strings.Contains(got.Summary, "- Packages added to base images: <code>") {
			t.Errorf("the summary does not say what was wrapped:\n%s", got.Summary)
		}
	})
}

// onHost returns a reference with the registry's address on the host.
func onHost(reference string) string {
	return strings.Replace(reference, lab["LAB_REGISTRY_INSIDE"], lab["LAB_REGISTRY"], 1)
}

// importsRoman runs the Python of an instance's tests in the finished image.
func importsRoman(t *testing.T, built line) {
	const program = `import docutils, roman; print(docutils.__version_info__ < (0, 21), roman.toRoman(1444), docutils.__file__)`
	said := docker(t, "run", "--rm", "--entrypoint", "/opt/miniconda3/envs/testbed/bin/python", onHost(built.Tags[0]), "-c", program)
	if !strings.HasPrefix(said, "True MCDXLIV /opt/miniconda3/envs/testbed/lib/") {
		t.Errorf("the finished image says %q; want docutils below 0.21, and roman, in the testbed environment", said)
	}
}

// configured compares configurations: of the finished images with each other, because their bases are alike, and of the
// wrapped base with the base.
func configured(t *testing.T, repo, id string, sphinx, ordinary line) {
	finished, other := image(t, onHost(sphinx.Tags[0])), image(t, onHost(ordinary.Tags[0]))
	if diff := cmp.Diff(other.Config, finished.Config); diff != "" {
		t.Errorf("the finished image's configuration (-ordinary +wrapped):\n%s", diff)
	}
	if len(finished.Config.Shell) != 0 {
		t.Errorf("SHELL is %q", finished.Config.Shell)
	}
	for name, history := range map[string][]v1.History{sphinx.InstanceID: finished.History, ordinary.InstanceID: other.History} {
		wraps := slices.ContainsFunc(history, func(h v1.History) bool { return strings.Contains(h.CreatedBy, "docutils") })
		if wraps != (name == sphinx.InstanceID) {
			t.Errorf("%s: installing docutils in its history is %v", name, wraps)
		}
	}
	base, wrapped := image(t, baseImage(id)), image(t, lab["LAB_REGISTRY"]+"/"+repo+"-base:"+wrappedTags(t, repo)[0])
	base.Config.Image = "" // the classic builder notes the parent of what it builds
	if diff := cmp.Diff(base.Config, wrapped.Config); diff != "" {
		t.Errorf("the wrapped base's configuration (-base +wrapped):\n%s", diff)
	}
	if n := len(wrapped.RootFS.DiffIDs); n != len(base.RootFS.DiffIDs)+1 || !slices.Equal(wrapped.RootFS.DiffIDs[:n-1], base.RootFS.DiffIDs) {
		t.Errorf("the wrapped base has %d layers upon %d", n, len(base.RootFS.DiffIDs))
	}
}

func image(t *testing.T, reference string) *v1.ConfigFile {
	t.Helper()
	found, err := crane.Pull(reference)
	if err != nil {
		t.Fatal(err)
	}
	config, err := found.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.DeepCopy()
}

// wrappedTags returns the tags of the wrapped base images for the images in a repository.
func wrappedTags(t *testing.T, repo string) []string {
	t.Helper()
	tags, err := crane.ListTags(lab["LAB_REGISTRY"] + "/" + repo + "-base")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(tags, func(tag string) bool { return !strings.HasPrefix(tag, "base-") })
}

// leavesNothing checks that nothing was pushed of an image whose wrap failed.
func leavesNothing(t *testing.T, s runner.Step, repo string, failed line) {
	if failed.ErrorClass != "build-failed" || failed.ReturnCode == 0 || !strings.Contains(failed.Error, wrapPackages) {
		t.Errorf("the image that cannot be wrapped: %+v; want its class, return code and reason", failed)
	}
	if log, err := os.ReadFile(filepath.Join(s.Workspace, failed.LogPath)); err != nil || !strings.Contains(string(log), "No module named pip") {
		t.Errorf("its log %s: %v, %d bytes; want what pip said", failed.LogPath, err, len(log))
	}
	tags, err := crane.ListTags(lab["LAB_REGISTRY"] + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	instance := strings.ReplaceAll(sphinxWithoutPip, "__", "_1776_")
	if i := slices.IndexFunc(tags, func(tag string) bool { return strings.Contains(tag, instance) }); i >= 0 {
		t.Errorf("%s was pushed", tags[i])
	}
	if bases := wrappedTags(t, repo); len(bases) != 1 {
		t.Errorf("there are the wrapped bases %q, want the one of the image that was built", bases)
	}
}
