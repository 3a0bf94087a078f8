package wrap

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

func TestWrapsBeforeTheBuild(t *testing.T) {
	h := newHouse(t, "echo '#1 pushing'")
	target, digest := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	result, err := h.Build(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := h.host + "/eval/images:" + tag(target.BaseImage+"@"+digest, sphinx)
	want := target
	want.BaseImage = wrapped
	if diff := cmp.Diff([]plan.Target{want}, h.got); diff != "" {
		t.Errorf("what was built upon it (-want +got):\n%s", diff)
	}
	args := "buildx build --progress plain --push --platform linux/amd64 --tag " + wrapped + " -\n"
	if diff := cmp.Diff(args, h.read(t, "args")); diff != "" {
		t.Errorf("docker's arguments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(dockerfile(target.BaseImage+"@"+digest, sphinx), h.read(t, "recipe")); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
	environ := strings.Split(h.read(t, "environ"), "\n")
	for _, variable := range []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDX_BUILDER=mine", "DOCKER_CONFIG=/private"} {
		if !slices.Contains(environ, variable) {
			t.Errorf("docker does not see %s", variable)
		}
	}
	if log := h.log(t, target.InstanceID); !strings.Contains(log, "#1 pushing\n") || !strings.Contains(log, wrapped) {
		t.Errorf("the image's log is %q", log)
	}
	if result.Making <= time.Hour || result.Attempts != 1 || !slices.Equal(result.Tags, target.Tags) {
		t.Errorf("result %+v: want the build's own, with the wrap's time added", result)
	}
}

func TestNoWrap(t *testing.T) {
	h := newHouse(t, "")
	target, _ := h.target(t, "django__django-1", "")
	h.refuse = func(string) int { return http.StatusTeapot }
	if _, err := h.Build(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]plan.Target{target}, h.got); diff != "" {
		t.Errorf("what was built (-want +got):\n%s", diff)
	}
	if args := h.read(t, "args"); args != "" {
		t.Errorf("docker was called: %s", args)
	}
}

func TestAgain(t *testing.T) {
	cases := []struct {
		name   string
		change func(t *testing.T, h *house, target *plan.Target)
		builds int
	}{
		{"it is there", func(*testing.T, *house, *plan.Target) {}, 1},
		{"another base under the same name", func(t *testing.T, h *house, target *plan.Target) { h.push(t, target.BaseImage) }, 2},
		{"another recipe", func(_ *testing.T, _ *house, target *plan.Target) { target.Wrap = "roman" }, 2},
		{"force-build", func(_ *testing.T, h *house, _ *plan.Target) { h.Force = true }, 2},
		{"a registry that keeps the base's digest to itself", func(_ *testing.T, h *house, target *plan.Target) {
			h.refuse = func(path string) int {
				if strings.Contains(path, "/hub/") {
					return http.StatusForbidden
				}
				return 0
			}
		}, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, "")
			target, digest := h.target(t, "sphinx-doc__sphinx-1", sphinx)
			for i := range 2 {
				if i == 1 {
					h.push(t, h.host+"/eval/images:"+tag(target.BaseImage+"@"+digest, sphinx)) // what the real command would have pushed
					c.change(t, h, &target)
				}
				if _, err := h.Build(t.Context(), target); err != nil {
					t.Fatal(err)
				}
			}
			if n := strings.Count(h.read(t, "args"), "\n"); n != c.builds {
				t.Errorf("%d docker commands for two builds, want %d", n, c.builds)
			}
			if len(h.got) != 2 || (h.got[0].BaseImage == h.got[1].BaseImage) != (c.builds == 1 || c.name == "force-build") {
				t.Errorf("built upon %+v", h.got)
			}
		})
	}
}

// TestUnknownDigest wraps by name, each time: under a name alone the base may be another one by now.
func TestUnknownDigest(t *testing.T) {
	h := newHouse(t, "")
	target := plan.Target{InstanceID: "sphinx-doc__sphinx-1", BaseImage: h.host + "/hub/nothing:latest", Wrap: sphinx}
	h.push(t, h.host+"/eval/images:"+tag(target.BaseImage, sphinx))
	if _, err := h.Build(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dockerfile(target.BaseImage, sphinx), h.read(t, "recipe")); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
}

// TestDigestOfAnotherBase has a HEAD answered with the digest of another base image, whose wrap is there or not. Nothing is
// made of that one, and the next attempt asks again.
func TestDigestOfAnotherBase(t *testing.T) {
	for _, there := range []bool{false, true} {
		h := newHouse(t, "")
		target, digest := h.target(t, "sphinx-doc__sphinx-1", sphinx)
		other, digestOfOther := h.target(t, "sphinx-doc__sphinx-2", sphinx)
		if there {
			h.push(t, h.host+"/eval/images:"+tag(other.BaseImage+"@"+digestOfOther, sphinx))
		}
		mixedUp := true
		h.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "sphinx-1/") || !mixedUp {
				return false
			}
			mixedUp = false
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Docker-Content-Digest", digestOfOther)
			return true
		}
		_, err := h.Build(t.Context(), target)
		if build.ClassOf(err) != build.ClassRegistry || !strings.Contains(err.Error(), "its manifest has "+digest) || h.read(t, "args") != "" {
			t.Errorf("the wrap is there: %v: %s: %v; docker: %s", there, build.ClassOf(err), err, h.read(t, "args"))
		}
		if _, err := h.Build(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dockerfile(target.BaseImage+"@"+digest, sphinx), h.read(t, "recipe")); diff != "" {
			t.Errorf("recipe (-want +got):\n%s", diff)
		}
	}
}
