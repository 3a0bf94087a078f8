package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Present reports whether all references exist with the same digest, which it returns. It sends one HEAD per reference. Where that
// is an index, it also asks for the images in it. Only a 404 means that a reference is missing; any other failure is an error.
func (c *Client) Present(ctx context.Context, references []string) (digest string, present bool, err error) {
	if len(references) == 0 {
		return "", false, errors.New("no tags to check")
	}
	var ref name.Reference
	var found described
	for _, reference := range references {
		if ref, err = parse(reference); err != nil {
			return "", false, err
		}
		if found, err = c.describe(ctx, ref); err != nil {
			return "", false, err
		}
		if found.digest == "" || digest != "" && digest != found.digest {
			return "", false, nil
		}
		digest = found.digest
	}
	if types.MediaType(found.mediaType).IsIndex() {
		whole, err := c.hasImages(ctx, ref.Context().Digest(digest))
		if err != nil || !whole {
			return "", false, err
		}
	}
	return digest, true, nil
}

// mostImages bounds how many images of one index are asked for.
const mostImages = 10

// hasImages reports whether the registry has the images for linux/amd64 that an index names. Clean-ups that delete untagged
// manifests leave indexes with nothing in them (https://github.com/actions/delete-package-versions/issues/90).
func (c *Client) hasImages(ctx context.Context, index name.Digest) (bool, error) {
	m, err := c.Manifest(ctx, index.Name())
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	parsed, err := v1.ParseIndexManifest(bytes.NewReader(m.Raw))
	if err != nil {
		return false, fmt.Errorf("reading the index %s: %w", index, err)
	}
	asked := 0
	for _, image := range parsed.Manifests {
		p := image.Platform
		if p != nil && (p.OS != "linux" || p.Architecture != "amd64") {
			continue
		}
		if asked++; asked > mostImages {
			break
		}
		found, err := c.describe(ctx, index.Context().Digest(image.Digest.String()))
		if err != nil || found.digest == "" {
			return false, err
		}
	}
	return true, nil
}

// Digest returns the digest of the manifest that a reference points to, or "" if the registry does not have it.
func (c *Client) Digest(ctx context.Context, reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	found, err := c.describe(ctx, ref)
	return found.digest, err
}

// Pulls returns how many pulls the registry of an image has left for this client, and how many it allows in what time, as it says
// itself: "76" and "100;w=21600". Both are empty where it says nothing. The question is not counted as a pull
// (https://docs.docker.com/docker-hub/usage/pulls/).
func (c *Client) Pulls(ctx context.Context, reference string) (left, allowed string, err error) {
	ref, err := parse(reference)
	if err != nil {
		return "", "", err
	}
	r := manifestRequest(ref, http.MethodHead, fmt.Sprintf("checking %s", ref))
	r.lookUp = true
	resp, err := c.do(ctx, r)
	left, _, _ = strings.Cut(resp.header.Get("Ratelimit-Remaining"), ";")
	return left, resp.header.Get("Ratelimit-Limit"), err
}

// described is what a HEAD tells of a manifest. digest is empty if the registry does not have it.
type described struct{ digest, mediaType string }

// describe asks for a manifest by HEAD. It asks again by GET, which counts as a pull at Docker Hub, in two cases. Registries may
// leave out the headers (https://github.com/distribution/distribution/issues/3792). And when one refuses the HEAD, only the body of
// a response tells "too many requests" from "not allowed", and some refuse every HEAD
// (https://github.com/containerd/containerd/pull/6684).
func (c *Client) describe(ctx context.Context, ref name.Reference) (described, error) {
	r := manifestRequest(ref, http.MethodHead, fmt.Sprintf("checking %s", ref))
	r.lookUp = true
	resp, err := c.do(ctx, r)
	found := described{resp.header.Get("Docker-Content-Digest"), mediaType(resp)}
	pinned, byDigest := ref.(name.Digest)
	switch {
	case isMissing(err):
		return described{}, nil
	case err != nil && !refusesHead(err):
		return described{}, err
	case err == nil && isManifest(found.mediaType) && digest.Digest(found.digest).Validate() == nil &&
		(!byDigest || pinned.DigestStr() == found.digest):
		return found, nil
	}
	r.method = http.MethodGet
	m, err := c.getManifest(ctx, ref, r)
	switch {
	case errors.Is(err, ErrNotFound):
		return described{}, nil
	case err != nil:
		return described{}, err
	}
	return described{m.Digest(), m.MediaType}, nil
}

// refusesHead reports whether a GET may be answered where a HEAD was not.
func refusesHead(err error) bool {
	if _, limited := errors.AsType[*RateLimited](err); limited {
		return false
	}
	switch status(err) {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}
