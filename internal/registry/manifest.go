package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Manifest is a manifest or index, byte for byte as it is in a registry: its digest depends on each byte.
type Manifest struct {
	MediaType string
	Raw       []byte
}

// Digest returns the digest of the manifest.
func (m Manifest) Digest() string { return digest.FromBytes(m.Raw).String() }

// descriptors returns the blobs that the manifest needs in its repository: all but the layers with URLs, which clients fetch from
// there. An index has none.
func (m Manifest) descriptors() ([]v1.Descriptor, error) {
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil || parsed.Config.Digest == (v1.Hash{}) {
		return nil, err
	}
	needed := []v1.Descriptor{parsed.Config}
	for _, layer := range parsed.Layers {
		if len(layer.URLs) == 0 {
			needed = append(needed, layer)
		}
	}
	return needed, nil
}

// blobs returns the digests of the descriptors. What cannot be read names none.
func (m Manifest) blobs() (digests []string) {
	needed, _ := m.descriptors()
	for _, blob := range needed {
		digests = append(digests, blob.Digest.String())
	}
	return digests
}

// manifestTypes are the media types that a GET of a manifest accepts.
var manifestTypes = []string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex),
	string(types.DockerManifestSchema2), string(types.DockerManifestList),
}

// manifestRequest returns the request that reads a manifest, or its headers.
func manifestRequest(ref name.Reference, method, doing string) request {
	return request{
		doing: doing, method: method, repository: ref.Context(), scopes: pullScope(ref.Context()),
		url: endpoint(ref.Context(), "manifests/"+ref.Identifier()), accept: manifestTypes, success: []int{http.StatusOK},
	}
}

// Manifest reads the manifest or index that a reference points to by one GET and verifies its digest. The error is ErrNotFound
// if the registry does not have it. Manifest assumes that the repository has the blobs that the manifest names.
func (c *Client) Manifest(ctx context.Context, reference string) (Manifest, error) {
	ref, err := parse(reference)
	if err != nil {
		return Manifest{}, err
	}
	m, err := c.getManifest(ctx, ref, manifestRequest(ref, http.MethodGet, fmt.Sprintf("reading the manifest of %s", ref)))
	if err != nil {
		return Manifest{}, err
	}
	for _, blob := range m.blobs() {
		c.known.Store(keyOf(ref.Context(), blob), true)
	}
	return m, nil
}

func (c *Client) getManifest(ctx context.Context, ref name.Reference, r request) (Manifest, error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return Manifest{}, notFound(err)
	}
	want := resp.header.Get("Docker-Content-Digest")
	if ref, ok := ref.(name.Digest); ok {
		want = ref.DigestStr()
	}
	if err := verifyDigest(want, resp.body); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", r.doing, err)
	}
	return Manifest{MediaType: mediaType(resp), Raw: resp.body}, nil
}

// mediaType returns the media type in the header, or the one in the manifest if the header names no type of manifest.
func mediaType(resp response) string {
	header, _, err := mime.ParseMediaType(resp.header.Get("Content-Type"))
	if err == nil && isManifest(header) {
		return header
	}
	var manifest struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(resp.body, &manifest) == nil && manifest.MediaType != "" {
		return manifest.MediaType
	}
	return header
}

func isManifest(mediaType string) bool {
	m := types.MediaType(mediaType)
	return m.IsImage() || m.IsIndex()
}

// verifyDigest compares content with the digest want, unless want is empty.
func verifyDigest(want string, content []byte) error {
	if want == "" {
		return nil
	}
	d, err := digest.Parse(want)
	if err != nil {
		return fmt.Errorf("the digest %q: %w", want, err)
	}
	if got := d.Algorithm().FromBytes(content); got != d {
		return fmt.Errorf("the content has the digest %s, not %s", got, d)
	}
	return nil
}

// Confirm reads the manifest of an image by its tag and compares the digest of its bytes with the one that Digest returned for
// the tag. pinned is name:tag@digest. Digest sends a HEAD, which has no content to verify, so it does not notice a proxy or cache
// that mixes up two images. A GET of a manifest counts as a pull on Docker Hub
// (https://docs.docker.com/docker-hub/usage/pulls/), so each pinned name is confirmed once per run.
func (c *Client) Confirm(ctx context.Context, pinned string) error {
	at := strings.LastIndexByte(pinned, '@')
	if at < 0 {
		return fmt.Errorf("confirming the digest of %s: it has none", pinned)
	}
	reference, digest := pinned[:at], pinned[at+1:]
	return c.share(ctx, "confirm "+pinned, "confirming the digest of "+pinned, func() error {
		if _, done := c.confirmed.Load(pinned); done {
			return nil
		}
		m, err := c.Manifest(ctx, reference)
		if err != nil {
			return err
		}
		if got := m.Digest(); got != digest {
			return fmt.Errorf("the registry named %s as the digest of %s, but its manifest has %s: "+
				"the tag was just pushed again, or a proxy or mirror mixes up images", digest, reference, got)
		}
		c.confirmed.Store(pinned, true)
		return nil
	})
}

// PutManifest writes the manifest under a reference by one PUT. The error is *UnknownBlobs if the registry does not have all
// blobs that the manifest names; the missing ones can then be put or mounted again.
func (c *Client) PutManifest(ctx context.Context, reference string, m Manifest) error {
	ref, err := parse(reference)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("putting the manifest %s", ref)
	resp, err := c.do(ctx, request{
		doing: doing, method: http.MethodPut, repository: ref.Context(), scopes: pushScope(ref.Context()),
		url: endpoint(ref.Context(), "manifests/"+ref.Identifier()), mediaType: m.MediaType, body: m.Raw,
		success: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	unknown := asUnknownBlobs(err)
	if unknown == nil && isInvalid(err) {
		unknown = c.findUnknownBlobs(ctx, ref.Context(), m, err)
	}
	if unknown != nil {
		missing := unknown.Digests
		if len(missing) == 0 {
			missing = m.blobs()
		}
		for _, blob := range missing {
			c.known.Delete(keyOf(ref.Context(), blob))
		}
		return unknown
	}
	if err != nil {
		return c.unlessStored(ctx, ref, m, err)
	}
	if got := resp.header.Get("Docker-Content-Digest"); got != "" && got != m.Digest() {
		return fmt.Errorf("%s: the registry stored it as %s, not %s", doing, got, m.Digest())
	}
	return nil
}

// findUnknownBlobs asks for the blobs of a manifest that its registry called invalid, and returns nil if it has them all. zot calls
// a manifest invalid whose blobs it does not have, and does not name them
// (https://github.com/project-zot/zot/blob/6d19b445fed1c86c23fb7b351fac07cfd4717402/pkg/storage/common/common.go, ValidateManifest).
func (c *Client) findUnknownBlobs(ctx context.Context, repository name.Repository, m Manifest, err error) *UnknownBlobs {
	unknown := &UnknownBlobs{Err: err}
	for _, blob := range m.blobs() {
		if there, failed := c.HasBlob(ctx, repository.Name(), blob); failed == nil && !there {
			unknown.Digests = append(unknown.Digests, blob)
		}
	}
	if len(unknown.Digests) == 0 {
		return nil
	}
	return unknown
}

// isInvalid reports whether a registry rejected a manifest for its content.
func isInvalid(err error) bool {
	return status(err) == http.StatusBadRequest && hasCode(err, transport.ManifestInvalidErrorCode)
}

// unlessStored returns the error err of a PUT, or nil if the registry has the manifest under that reference all the same: the
// response to an earlier try was lost, or another run was faster. Where tags are immutable, a registry refuses even what it has
// (https://github.com/aws/containers-roadmap/issues/2179).
func (c *Client) unlessStored(ctx context.Context, ref name.Reference, m Manifest, err error) error {
	if _, limited := errors.AsType[*RateLimited](err); limited || errors.Is(err, errStalled) || ctx.Err() != nil {
		return err
	}
	found, failed := c.describe(ctx, ref)
	switch {
	case failed != nil || found.digest == "":
		return err
	case found.digest == m.Digest():
		return nil
	case refusesOverwrite(err):
		return fmt.Errorf("the tag is immutable, and points to %s: %w", found.digest, err)
	}
	return err
}

// overwriteText matches what registries say of a tag that may not be overwritten, beside the code TAG_INVALID of ECR.
var overwriteText = regexp.MustCompile(`(?i)immutab|overwrit`)

// refusesOverwrite reports whether a registry rejected a manifest because its tag exists.
func refusesOverwrite(err error) bool {
	switch status(err) {
	case http.StatusConflict, http.StatusPreconditionFailed:
		return true
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed:
		return hasCode(err, transport.TagInvalidErrorCode) || overwriteText.MatchString(err.Error())
	}
	return false
}

// Delete deletes one tag, and keeps its manifest and the other tags of that manifest. If the reference has a digest, it deletes
// the manifest with all its tags. It succeeds if the tag or manifest does not exist. Some registries delete nothing (ghcr.io
// answers 405), and some delete no tags.
func (c *Client) Delete(ctx context.Context, reference string) error {
	ref, err := parse(reference)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{
		doing: fmt.Sprintf("deleting %s", ref), method: http.MethodDelete, repository: ref.Context(),
		scopes: []string{ref.Context().Scope(transport.DeleteScope)}, url: endpoint(ref.Context(), "manifests/"+ref.Identifier()),
		success: []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent},
	})
	// Of a repository that does not exist, zot says so with a 400 (project-zot/zot, pkg/api/routes.go, DeleteManifest).
	if code := status(err); code == http.StatusNotFound || code == http.StatusBadRequest {
		if hasCode(err, transport.ManifestUnknownErrorCode, transport.NameUnknownErrorCode) {
			return nil
		}
	}
	return err
}
