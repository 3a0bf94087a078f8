// Package registry is a client for container registries: it checks which images exist, and reads and writes manifests and
// blobs.
//
// Names, credentials, the handshake with its tokens, the errors of responses, and the types of manifests are those of
// go-containerregistry. Its Puller and Pusher (pkg/v1/remote, v0.21.7) are not used:
//   - They upload a blob by HEAD, POST, PATCH and PUT. POST and PUT do, and ghcr.io limits the number of writes.
//   - They keep the client of a repository for ever, even one whose handshake failed: one 503 would fail every image of a run.
//   - A HEAD whose response lacks a header is an error, a manifest may have 100 MiB, and the digest in its header is not compared.
//   - A mount that fails becomes an upload at once, also after a 429, which asks to wait.
//   - The headers of a response, such as the digest that a PUT has stored, are not returned.
//   - They follow a redirect from https to http, and none to storage at an address of a private network.
//
// The other requests (HEAD, GET and PUT of a manifest) share most of this package with uploads and mounts: the write limit, the pauses,
// the timeouts and the retry rule.
package registry

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/singleflight"
)

// Client sends requests to registries. One client serves a whole run, so that it fetches a bearer token once per repository.
type Client struct {
	keychain authn.Keychain
	base     *baseTransport
	reporter Reporter

	authClients  sync.Map // registry and scopes: *authClient
	limiters     sync.Map // host: *limiter
	firstBackoff time.Duration

	inFlight singleflight.Group
	pushed   sync.Map // names of repositories that accepted an upload of ProbePush
	locks    keyedMutex

	known     sync.Map // blobKey: the blobs that exist because this run has put, mounted or read them
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
