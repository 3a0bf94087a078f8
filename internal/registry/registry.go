// Package registry is a client for container registries: it checks which images exist, and reads and writes manifests and
// blobs.
package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"
)

// Client sends requests to registries. One client serves a whole run, so that it fetches a bearer token once per repository.
type Client struct {
	keychain authn.Keychain
	base     *baseTransport
	reporter Reporter

	authClients  sync.Map // registry and scopes: *http.Client
	limiters     limiters
	firstBackoff time.Duration

	inFlight singleflight.Group
	locks    keyedMutex

	known     blobSet
	confirmed sync.Map // the pinned names that Confirm has confirmed
	probed    sync.Map // repository: whether its registry checks the blobs of a manifest

	mu         sync.Mutex
	askedAgain map[string]int // by class of failure
}

// Reporter receives the events of a Client that a user should see. Its methods must be safe for concurrent use.
type Reporter interface {
	// Copying reports the progress of a blob that is copied through this machine because it cannot be mounted. It is called
	// before the first byte, about once a second, and at the end, when done equals size. Both are in bytes; size is -1 if it
	// is unknown.
	Copying(digest string, done, size int64)

	// Pausing reports that a registry asks to wait before the next write. It is called once for all requests that wait.
	Pausing(host string, wait time.Duration)
}

// New returns a client that authenticates with keychain, sends requests through t, and reports to reporter, which may be nil.
func New(keychain authn.Keychain, t http.RoundTripper, reporter Reporter) *Client {
	c := &Client{
		keychain: keychain, reporter: reporter, firstBackoff: firstBackoff, askedAgain: map[string]int{},
		base: &baseTransport{next: t, requests: map[string]int{}},
	}
	c.Limit(GitHub, WritesPerMinute, Burst)
	return c
}

// Requests returns how many requests this client has sent to registries and their token servers, by method.
func (c *Client) Requests() map[string]int {
	c.base.mu.Lock()
	defer c.base.mu.Unlock()
	return maps.Clone(c.base.requests)
}

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

// described is what a HEAD tells of a manifest. digest is empty if the registry does not have it.
type described struct{ digest, mediaType string }

// describe asks for a manifest by HEAD. It asks again by GET, which counts as a pull at Docker Hub, in two cases. Registries may
// leave out the headers (https://github.com/distribution/distribution/issues/3792). And when one refuses the HEAD, only the body of
// a response tells "too many requests" from "not allowed", and some refuse every HEAD
// (https://github.com/containerd/containerd/pull/6684).
func (c *Client) describe(ctx context.Context, ref name.Reference) (described, error) {
	r := manifestRequest(ref, http.MethodHead, fmt.Sprintf("checking %s", ref))
	r.shortWait = true
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

// parse parses an image reference. For a registry in a private network it allows plain http, which the library tries after
// https fails: the service container of a job speaks plain http. The library itself allows it only for loopback, private IPv4
// addresses and names that end in .localhost.
func parse(reference string) (name.Reference, error) {
	ref, err := name.ParseReference(reference)
	if err == nil && isPrivate(ref.Context().RegistryStr()) {
		ref, err = name.ParseReference(reference, name.Insecure)
	}
	if err != nil {
		return nil, fmt.Errorf("parsing %q: %w", reference, err)
	}
	return ref, nil
}

// isPrivate reports whether no public resolver knows the registry's name: it has no dot, as in a container network, or belongs
// to multicast DNS (RFC 6762).
func isPrivate(registry string) bool {
	host := registry
	if h, _, err := net.SplitHostPort(registry); err == nil {
		host = h
	}
	return !strings.ContainsAny(host, ".:") || strings.HasSuffix(host, ".local")
}
