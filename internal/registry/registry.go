// Package registry is a client for container registries: it checks which images exist, and reads and writes manifests and
// blobs.
package registry

import (
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
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/singleflight"
)

// Client sends requests to registries. One client serves a whole run, so that it fetches a bearer token once per repository.
type Client struct {
	keychain  authn.Keychain
	transport *countingTransport
	reporter  Reporter
	options   []remote.Option

	authClients  authClients
	limiters     limiters
	firstBackoff time.Duration

	inFlight singleflight.Group
	locks    keyedMutex

	known     blobSet
	confirmed sync.Map // the pinned names that Confirm has confirmed
	probed    sync.Map // repository: whether its registry checks the blobs of a manifest

	mu     sync.Mutex
	puller *remote.Puller
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
// For HEAD requests of manifests, the library retries a transient failure (408, 429, 5xx, a broken connection) twice, after 1 s
// and 3 s (go-containerregistry, pkg/v1/remote/options.go); options can change that.
func New(keychain authn.Keychain, t http.RoundTripper, reporter Reporter, options ...remote.Option) *Client {
	transport := &countingTransport{next: t, requests: map[string]int{}}
	options = append([]remote.Option{
		remote.WithAuthFromKeychain(keychain), remote.WithTransport(retryAfterTransport{transport}),
	}, options...)
	c := &Client{keychain: keychain, transport: transport, reporter: reporter, options: options, firstBackoff: firstBackoff}
	c.Limit(GitHub, WritesPerMinute, Burst)
	return c
}

// countingTransport counts requests by method.
type countingTransport struct {
	next http.RoundTripper

	mu       sync.Mutex
	requests map[string]int
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	t.requests[r.Method]++
	t.mu.Unlock()
	return t.next.RoundTrip(r)
}

// Requests returns how many requests this client has sent to registries and their token servers, by method.
func (c *Client) Requests() map[string]int {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return maps.Clone(c.transport.requests)
}

// Present reports whether all references exist with the same digest, which it returns. It sends one HEAD per reference. Only a
// 404 means that a reference is missing; any other failure is an error.
func (c *Client) Present(ctx context.Context, references []string) (digest string, present bool, err error) {
	if len(references) == 0 {
		return "", false, errors.New("no tags to check")
	}
	for _, reference := range references {
		found, err := c.Digest(ctx, reference)
		if err != nil {
			return "", false, err
		}
		if found == "" || digest != "" && digest != found {
			return "", false, nil
		}
		digest = found
	}
	return digest, true, nil
}

// Digest returns the digest of the manifest that a reference points to, or "" if the registry does not have it.
func (c *Client) Digest(ctx context.Context, reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, responseTimeout)
	defer cancel()
	puller, err := c.getPuller()
	if err != nil {
		return "", err
	}
	ctx, retryAfter := withRetryAfter(ctx)
	descriptor, err := puller.Head(ctx, ref)
	if status(err) == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		c.dropPuller(puller)
		if err = retryAfter.asError(fmt.Sprintf("checking %s", ref), err); isForbidden(err) {
			return c.digestByGet(ctx, ref)
		}
		return "", err
	}
	return descriptor.Digest.String(), nil
}

// digestByGet repeats by GET a HEAD that failed with 403. The response to a HEAD has no body, and only the body tells "too many
// requests" from "not allowed".
func (c *Client) digestByGet(ctx context.Context, ref name.Reference) (string, error) {
	resp, err := c.doOnce(ctx, request{
		doing: fmt.Sprintf("checking %s", ref), method: http.MethodGet, repository: ref.Context(), scopes: pullScope(ref.Context()),
		url: endpoint(ref.Context(), "manifests/"+ref.Identifier()), accept: manifestTypes, success: []int{http.StatusOK},
	}, 0)
	switch {
	case status(err) == http.StatusNotFound:
		return "", nil
	case err != nil:
		return "", err
	}
	return Manifest{Raw: resp.body}.Digest(), nil
}

func (c *Client) getPuller() (*remote.Puller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.puller == nil {
		p, err := remote.NewPuller(c.options...)
		if err != nil {
			return nil, fmt.Errorf("preparing registry access: %w", err)
		}
		c.puller = p
	}
	return c.puller, nil
}

// dropPuller drops the puller after an error. A puller keeps a failed first handshake with a repository for ever: one 503 at
// the start of a run would fail all 500 images.
func (c *Client) dropPuller(failed *remote.Puller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.puller == failed {
		c.puller = nil
	}
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
