package bench

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/OpenHands/eval-images/internal/lab/bases"
)

// Three instances get a base each, two more share those of the first two, and all images are whole.
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
	if err := b.derive(t.Context(), []string{"1", "2", "3"}); err != nil {
		t.Fatal(err)
	}
	if err := b.share(t.Context(), []string{"4", "5"}, []string{"1", "2"}); err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, instance := range []string{"1", "2", "3", "4", "5"} {
		image, err := remote.Image(ref(t, host+"/bench-7/bases:"+instance))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(image); err != nil {
			t.Errorf("the base of %s: %v", instance, err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[instance] = digest.String()
	}
	if digests["1"] == digests["2"] || digests["1"] == digests["3"] || digests["2"] == digests["3"] ||
		digests["4"] != digests["1"] || digests["5"] != digests["2"] {
		t.Errorf("the bases are %v; want three, in turn", digests)
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
