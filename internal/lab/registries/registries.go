// Package registries tests the registry client with the code of real registries: distribution 2 and 3, each in a package of its
// own, because the two cannot be in one program. It is a module of its own, because they need a hundred other modules. What other
// registries answer, zot among them, is in TestConformance of package registry.
package registries

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/registry"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)

func descriptor(media, content string) string {
	return fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, media, len(content), digest.FromString(content))
}

func image(config, layer string) registry.Manifest {
	return registry.Manifest{MediaType: ociManifest, Raw: fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`,
		ociManifest, descriptor("application/vnd.oci.image.config.v1+json", config), descriptor("application/vnd.oci.image.layer.v1.tar", layer))}
}

func index(m registry.Manifest) registry.Manifest {
	return registry.Manifest{MediaType: ociIndex, Raw: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":%d,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		ociIndex, ociManifest, len(m.Raw), m.Digest())}
}

// Check asks a registry what a run asks, in the order of a run, and checks that it answers as the client expects.
func Check(t *testing.T, handler http.Handler, deletesTags, deletesImages bool) {
	server := httptest.NewServer(handler)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	run := run{t, registry.New(authn.DefaultKeychain, http.DefaultTransport, nil), host + "/a/eval"}
	m, bases := image("{}", "layer"), host+"/a/bases"

	run.must(run.ProbePush(t.Context(), run.repository))
	run.present(":one", false)
	for _, content := range []string{"{}", "layer"} {
		_, err := run.PutBlob(t.Context(), bases, []byte(content))
		run.must(err)
		run.must(registry.New(authn.DefaultKeychain, http.DefaultTransport, nil).
			Mount(t.Context(), bases, run.repository, digest.FromString(content).String(), int64(len(content))))
	}
	if checks, err := run.ProbeManifest(t.Context(), run.repository); err != nil || !checks {
		t.Errorf("ProbeManifest = %v, %v; it refuses manifests of layers that it does not have", checks, err)
	}
	var unknown *registry.UnknownBlobs
	if err := run.PutManifest(t.Context(), run.repository+":bad", image("{}", "lost")); !errors.As(err, &unknown) || len(unknown.Digests) != 1 {
		t.Errorf("a manifest without its layer: %v; want its digest", err)
	}
	for _, tag := range []string{":one", ":two"} {
		run.must(run.PutManifest(t.Context(), run.repository+tag, m))
		run.present(tag, true)
	}
	run.must(run.PutManifest(t.Context(), run.repository+":index", index(m)))
	run.present(":index", true)
	got, err := run.Manifest(t.Context(), run.repository+":two")
	if err != nil || string(got.Raw) != string(m.Raw) || got.MediaType != ociManifest {
		t.Errorf("Manifest = %s, %v", got.Raw, err)
	}
	run.bringsOver(host+"/a/brought", index(m))
	config, err := run.Blob(t.Context(), run.repository, digest.FromString("{}").String())
	if err != nil || string(config) != "{}" {
		t.Errorf("Blob = %q, %v", config, err)
	}
	err = run.Delete(t.Context(), run.repository+":one")
	if (err == nil) != deletesTags {
		t.Errorf("Delete of a tag = %v", err)
	}
	run.present(":one", !deletesTags)
	run.present(":two", true)
	err = run.Delete(t.Context(), run.repository+"@"+m.Digest())
	if (err == nil) != deletesImages {
		t.Errorf("Delete of an image = %v", err)
	}
	run.present(":index", !deletesImages)
	if again := run.AskedAgain(); len(again) > 0 {
		t.Errorf("asked again: %v", again)
	}
}

// run is a client of one repository.
type run struct {
	t *testing.T
	*registry.Client
	repository string
}

func (r run) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Error(err)
	}
}

func (r run) present(tag string, want bool) {
	r.t.Helper()
	_, got, err := r.Present(r.t.Context(), []string{r.repository + tag})
	if err != nil || got != want {
		r.t.Errorf("%s is present: %v, %v; want %v", tag, got, err, want)
	}
}

// bringsOver checks that an index goes into another repository with its image, that an artifact without content is taken, as runs leave
// it, and that tags are listed.
func (r run) bringsOver(to string, index registry.Manifest) {
	r.t.Helper()
	other := registry.New(authn.DefaultKeychain, http.DefaultTransport, nil)
	r.must(other.MountImage(r.t.Context(), r.repository, index, to+":brought"))
	if digest, err := r.Digest(r.t.Context(), to+":brought"); err != nil || digest != index.Digest() {
		r.t.Errorf("the index is %s there, %v; want %s", digest, err, index.Digest())
	}
	empty := descriptor("application/vnd.oci.empty.v1+json", "{}")
	note := registry.Manifest{MediaType: ociManifest, Raw: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.openhands.eval-images.last-run","config":%s,"layers":[%s]}`, ociManifest, empty, empty)}
	r.must(other.PutManifest(r.t.Context(), to+":last-run", note))
	if got, err := r.Manifest(r.t.Context(), to+":last-run"); err != nil || got.Digest() != note.Digest() {
		r.t.Errorf("the artifact is %s, %v", got.Raw, err)
	}
	tags, err := r.Tags(r.t.Context(), to)
	if slices.Sort(tags); err != nil || !slices.Equal(tags, []string{"brought", "last-run"}) {
		r.t.Errorf("Tags = %v, %v", tags, err)
	}
}
