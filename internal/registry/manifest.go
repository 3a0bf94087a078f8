package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// ErrNotFound is the registry's answer that it does not have what was asked for.
var ErrNotFound = errors.New("not found")

// Manifest is a manifest or an index as it is in a registry, byte for byte: its digest depends on each.
type Manifest struct {
	MediaType string
	Raw       []byte
}

// Digest is the one under which registries have the manifest.
func (m Manifest) Digest() string { return digest.FromBytes(m.Raw).String() }

// Blobs are the digests of the blobs that the manifest needs in its repository, without those that are fetched from
// elsewhere by their URLs. It is empty for an index.
func (m Manifest) blobs() []string {
	var parsed struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
		Layers []struct {
			Digest string   `json:"digest"`
			URLs   []string `json:"urls"`
		} `json:"layers"`
	}
	if json.Unmarshal(m.Raw, &parsed) != nil || parsed.Config.Digest == "" {
		return nil
	}
	blobs := []string{parsed.Config.Digest}
	for _, layer := range parsed.Layers {
		if len(layer.URLs) == 0 {
			blobs = append(blobs, layer.Digest)
		}
	}
	return blobs
}

// acceptable are the media types that are asked for.
var acceptable = []string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex),
	string(types.DockerManifestSchema2), string(types.DockerManifestList),
}

// Manifest reads the manifest, or index, behind a reference by one GET. It is ErrNotFound where the registry does not
// have it. The repository is taken to have the blobs that it names.
func (c *Client) Manifest(ctx context.Context, reference string) (Manifest, error) {
	ref, err := parse(reference)
	if err != nil {
		return Manifest{}, err
	}
	doing := fmt.Sprintf("reading the manifest of %s", ref)
	a, err := c.ask(ctx, question{
		doing: doing, method: http.MethodGet, repository: ref.Context(), scopes: pulling(ref.Context()),
		url: at(ref.Context(), "manifests/"+ref.Identifier()), accept: acceptable, want: []int{http.StatusOK},
	})
	if err != nil {
		return Manifest{}, missing(err)
	}
	m := Manifest{MediaType: mediaType(a), Raw: a.body}
	want := a.header.Get("Docker-Content-Digest")
	if ref, ok := ref.(name.Digest); ok {
		want = ref.DigestStr()
	}
	if err := verify(want, a.body); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", doing, err)
	}
	for _, blob := range m.blobs() {
		c.known.add(ref.Context(), blob)
	}
	return m, nil
}

// mediaType is the manifest's own where the answer's header is of no use.
func mediaType(a answer) string {
	said, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if m := types.MediaType(said); err == nil && (m.IsImage() || m.IsIndex()) {
		return said
	}
	var own struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(a.body, &own) == nil && own.MediaType != "" {
		return own.MediaType
	}
	return said
}

// PutManifest writes the manifest under a reference by one PUT. It is *UnknownBlobs where the registry misses blobs that
// the manifest names; they may be sent again then.
func (c *Client) PutManifest(ctx context.Context, reference string, m Manifest) error {
	ref, err := parse(reference)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("putting the manifest %s", ref)
	a, err := c.ask(ctx, question{
		doing: doing, method: http.MethodPut, repository: ref.Context(), scopes: pushing(ref.Context()),
		url: at(ref.Context(), "manifests/"+ref.Identifier()), media: m.MediaType, body: m.Raw,
		want: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	if unknown := unknownBlobs(err); unknown != nil {
		lost := unknown.Digests
		if len(lost) == 0 {
			lost = m.blobs()
		}
		for _, blob := range lost {
			c.known.forget(ref.Context(), blob)
		}
		return unknown
	}
	if err != nil {
		return err
	}
	if got := a.header.Get("Docker-Content-Digest"); got != "" && got != m.Digest() {
		return fmt.Errorf("%s: the registry stored it as %s, and not as %s", doing, got, m.Digest())
	}
	return nil
}

// verify compares content with its digest, if that is known.
func verify(want string, content []byte) error {
	if want == "" {
		return nil
	}
	d, err := digest.Parse(want)
	if err != nil {
		return fmt.Errorf("the digest %q: %w", want, err)
	}
	if got := d.Algorithm().FromBytes(content); got != d {
		return fmt.Errorf("the content has the digest %s, and not %s", got, d)
	}
	return nil
}

// missing is a 404 as ErrNotFound.
func missing(err error) error {
	if status(err) == http.StatusNotFound {
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	}
	return err
}

// at is the address of something in a repository.
func at(repository name.Repository, path string) *url.URL {
	return &url.URL{
		Scheme: repository.Scheme(), Host: repository.RegistryStr(), Path: "/v2/" + repository.RepositoryStr() + "/" + path,
	}
}

func pulling(repository name.Repository) []string {
	return []string{repository.Scope(transport.PullScope)}
}

func pushing(repository name.Repository) []string {
	return []string{repository.Scope(transport.PushScope)}
}
