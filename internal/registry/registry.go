// Package registry asks container registries about images, reads and writes manifests and blobs, and carries the run's
// credentials to them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// answerWithin bounds one question to a registry, with the library's own two retries of a 5xx in it.
const answerWithin = 60 * time.Second

// Client asks registries; one serves a whole run, so that a bearer token is fetched once per repository.
type Client struct {
	keychain  authn.Keychain
	transport http.RoundTripper
	options   []remote.Option

	// Copying, if set, is told of the bytes of a blob that had to be copied through this machine, for it could not be
	// mounted: once before the first byte, about once a second, and at the end, done being size then. size is -1 where it is
	// not known. It must be safe for concurrent use, and is to be set before the first Mount.
	Copying func(digest string, done, size int64)

	links    links
	limiters limiters
	known    known
	flights  flights
	turns    turns
	probed   sync.Map // repository: whether it refuses a manifest of absent blobs
	backOff  time.Duration

	confirmed sync.Map // by name:tag@digest

	requests *counting

	mu     sync.Mutex
	puller *remote.Puller
}

// New makes a client that identifies itself by keychain and sends through t. What passes by itself (408, 429, 5xx, a cut
// connection) is asked again twice by the library, 1 s and 3 s later (go-containerregistry, remote/options.go).
func New(keychain authn.Keychain, t http.RoundTripper, options ...remote.Option) *Client {
	count := &counting{next: t, sent: map[string]int{}}
	t = count
	options = append([]remote.Option{remote.WithAuthFromKeychain(keychain), remote.WithTransport(listening{t})}, options...)
	c := &Client{keychain: keychain, transport: t, options: options, backOff: backOff, requests: count}
	c.Limit(GitHub, WritesPerMinute, Burst)
	return c
}

// Present reports the digest on which all references are, by one HEAD each. They are not present when one of them is
// missing or when two are on different digests. Only a 404 means missing: every other refusal is an error.
func (c *Client) Present(ctx context.Context, references []string) (digest string, present bool, err error) {
	if len(references) == 0 {
		return "", false, errors.New("no tag to ask for")
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

// Digest gives the manifest digest behind a reference, or "" when the registry does not have it.
func (c *Client) Digest(ctx context.Context, reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	puller, err := c.pull()
	if err != nil {
		return "", err
	}
	ctx, asked := listen(ctx)
	descriptor, err := puller.Head(ctx, ref)
	if status(err) == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		c.forget(puller)
		return "", asked.refusal(fmt.Sprintf("asking for %s", ref), err)
	}
	return descriptor.Digest.String(), nil
}

func (c *Client) pull() (*remote.Puller, error) {
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

// forget drops the puller after an error: it keeps a failed first handshake with a repository for ever, and one 503
// at the start of a run would fail all 500 images.
func (c *Client) forget(failed *remote.Puller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.puller == failed {
		c.puller = nil
	}
}
