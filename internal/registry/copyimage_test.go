package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// putIndex puts an image, and an index that names it, by their digests.
func putIndex(t *testing.T, c *Client, repository string) (image, index Manifest) {
	t.Helper()
	put(t, c, repository, "config", "one", "two")
	image = imageOf(t, "config", "one", "two")
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex,
		"manifests": []any{map[string]any{"mediaType": image.MediaType, "size": len(image.Raw), "digest": image.Digest()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	index = Manifest{string(types.OCIImageIndex), raw}
	for _, m := range []Manifest{image, index} {
		if err := c.PutManifest(t.Context(), repository+"@"+m.Digest(), m); err != nil {
			t.Fatal(err)
		}
	}
	return image, index
}

// An image keeps its digest in another repository, and so does an index, whose images come first.
func TestImageIsMounted(t *testing.T) {
	cases := []struct {
		name     string
		noMounts bool
		copies   bool
		requests map[string]int
		err      error
	}{
		{name: "mounted", requests: map[string]int{"HEAD": 3, "POST": 3, "GET": 1, "PUT": 2}},
		{name: "mounted or copied", copies: true, requests: map[string]int{"HEAD": 3, "POST": 3, "GET": 1, "PUT": 2}},
		{name: "copied", noMounts: true, copies: true, requests: map[string]int{"HEAD": 3, "POST": 3, "GET": 4, "PUT": 5}},
		{name: "not mounted", noMounts: true, requests: map[string]int{"HEAD": 1, "POST": 1, "GET": 1, "DELETE": 1}, err: ErrNotMounted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			from, to := host+"/from/it", host+"/to/it"
			image, index := putIndex(t, quick(), from)
			g.NoMounts = c.noMounts
			g.Reset()
			client := quick()
			transfer := client.MountImage
			if c.copies {
				transfer = client.CopyImage
			}
			if err := transfer(t.Context(), from, index, to+":there"); !errors.Is(err, c.err) {
				t.Fatalf("%v; want %v", err, c.err)
			}
			if diff := cmp.Diff(c.requests, g.Methods()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if c.err != nil {
				return
			}
			g.Fault = fault(9, http.StatusTeapot, nil, method("GET", "/from/"))
			for _, want := range []struct{ reference, digest string }{{to + ":there", index.Digest()}, {to + "@" + image.Digest(), image.Digest()}} {
				if m, err := quick().Manifest(t.Context(), want.reference); err != nil || m.Digest() != want.digest {
					t.Errorf("%s is %s, %v; want %s", want.reference, m.Digest(), err, want.digest)
				}
			}
		})
	}
}

// A layer with URLs is fetched from there, so no registry has to have it.
func TestLayerWithURLsIsNotMounted(t *testing.T) {
	g, host := serve(t)
	g.Lax = true
	put(t, quick(), host+"/from/it", "config")
	m := imageOf(t, "config", "elsewhere")
	m.Raw = bytes.Replace(m.Raw, []byte(`"layers":[{`), []byte(`"layers":[{"urls":["https://elsewhere.example/layer"],`), 1)
	g.Reset()
	if err := quick().MountImage(t.Context(), host+"/from/it", m, host+"/to/it:there"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"HEAD": 1, "POST": 1, "PUT": 1}, g.Methods()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// A layer that is lost where it was to be mounted from is told from every other failure.
func TestMountOfALostBlob(t *testing.T) {
	for name, other := range map[string]bool{"one registry": false, "two registries": true} {
		t.Run(name, func(t *testing.T) {
			_, host := serve(t)
			from := host
			if other {
				_, from = serve(t)
			}
			err := quick().Mount(t.Context(), from+"/from/it", host+"/to/it", digestOf("x"), 1)
			if lost, ok := errors.AsType[*UnknownBlobs](err); !ok || len(lost.Digests) != 1 || lost.Digests[0] != digestOf("x") {
				t.Errorf("%v; want the lost blob", err)
			}
		})
	}
}
