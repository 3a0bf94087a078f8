package bench

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/OpenHands/eval-images/internal/lab/bases"
)

// Three instances get a base each, two more get the first two with a label, and all images are complete.
func TestDerive(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	b := &bench{start: time.Unix(7, 0), Lab: Lab{Values: map[string]string{"LAB_REGISTRY": host}, Instances: []string{"a__b-1", "a__b-2"}}}
	for _, instance := range b.Instances {
		image, err := random.Image(64, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref(t, host+"/"+bases.Repository(instance)), image); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.pushDistinctBases(t.Context(), []string{"1", "2", "3"}); err != nil {
		t.Fatal(err)
	}
	if err := b.pushLabelledBases(t.Context(), []string{"4", "5"}, []string{"1", "2"}); err != nil {
		t.Fatal(err)
	}
	digests, top := map[v1.Hash]string{}, map[string]v1.Hash{}
	for _, instance := range []string{"1", "2", "3", "4", "5"} {
		image, err := remote.Image(ref(t, host+"/bench-7/bases:"+instance))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(image); err != nil {
			t.Errorf("the base of %s: %v", instance, err)
		}
		manifest, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if other := digests[manifest.Config.Digest]; other != "" {
			t.Errorf("the bases of %s and %s have one configuration", other, instance)
		}
		digests[manifest.Config.Digest] = instance
		top[instance] = manifest.Layers[len(manifest.Layers)-1].Digest
	}
	if top["4"] != top["1"] || top["5"] != top["2"] || top["1"] == top["2"] {
		t.Errorf("the top layers are %v; want those of the first two again, in turn", top)
	}
}

func ref(t *testing.T, text string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
