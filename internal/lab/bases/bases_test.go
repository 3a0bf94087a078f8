package bases

import (
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestInstances(t *testing.T) {
	ids := Instances()
	repositories := map[string]bool{}
	for i, id := range ids {
		repository, _, ok := strings.Cut(id, "__")
		if !ok || slices.Index(ids, id) != i {
			t.Errorf("%q is no instance id, or is there twice", id)
		}
		if sphinx := repository == "sphinx-doc"; sphinx != (i >= Ordinary) {
			t.Errorf("%s is number %d, and %d are ordinary", id, i+1, Ordinary)
		}
		repositories[repository] = true
	}
	if len(repositories) < 4 || len(ids) < Ordinary+2 {
		t.Errorf("there are %d instances of %d repositories", len(ids), len(repositories))
	}
}

func TestTemplate(t *testing.T) {
	variables, err := env(&engine.Engine{})
	if err != nil {
		t.Fatal(err)
	}
	template := variables["LAB_BASE_IMAGE_TEMPLATE"]
	got := strings.NewReplacer("{repo}", "django", "{name}", "django-11333").Replace(template)
	want := "registry.local:5000/hub/swebench/sweb.eval.x86_64.django_1776_django-11333:latest"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLayers reads the lab's registry: all instances share the root, instances of one repository also share the
// environment, and only the last layer is their own.
func TestLayers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the lab")
	}
	django, other, sphinx := layers(t, "django__django-11099"), layers(t, "django__django-11333"), layers(t, "sphinx-doc__sphinx-10449")
	if len(django) < 4 || len(django) != len(sphinx) {
		t.Fatalf("there are %d and %d layers", len(django), len(sphinx))
	}
	testbed, environment := len(django)-1, len(django)-2
	if diff := cmp.Diff(django[:testbed], other[:testbed]); diff != "" {
		t.Errorf("two instances of one repository differ below /testbed: %s", diff)
	}
	if django[testbed] == other[testbed] {
		t.Error("two instances have the same /testbed")
	}
	if diff := cmp.Diff(django[:environment], sphinx[:environment]); diff != "" {
		t.Errorf("two repositories have no common root: %s", diff)
	}
	if django[environment] == sphinx[environment] {
		t.Error("two repositories have the same environment")
	}
}

func layers(t *testing.T, instance string) []v1.Hash {
	t.Helper()
	reference, err := tag(instance, "latest")
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(reference, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("reading the base image of %s: %v\nhint: make lab", instance, err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var digests []v1.Hash
	for _, layer := range manifest.Layers {
		digests = append(digests, layer.Digest)
	}
	return digests
}
