package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// authClients holds an HTTP client with its own bearer token for each registry and list of scopes.
type authClients struct{ clients sync.Map }

// authClient returns the client that is authenticated for the scopes. It replaces an expired token by itself. If the handshake
// fails, the next caller tries again.
func (c *Client) authClient(ctx context.Context, repository name.Repository, scopes []string) (*http.Client, error) {
	key := repository.RegistryStr() + " " + strings.Join(scopes, " ")
	if found, ok := c.authClients.clients.Load(key); ok {
		return found.(*http.Client), nil
	}
	unlock, err := c.locks.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, ok := c.authClients.clients.Load(key); ok {
		return found.(*http.Client), nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, repository)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", repository.RegistryStr(), err)
	}
	t, err := transport.NewWithContext(ctx, repository.Registry, auth, replayBody{retryAfterTransport{c.transport}}, scopes)
	if err != nil {
		return nil, fmt.Errorf("authenticating with %s: %w", repository.RegistryStr(), err)
	}
	client := &http.Client{Transport: t}
	c.authClients.clients.Store(key, client)
	return client, nil
}

// replayBody sends every request with a fresh copy of its body. The library repeats a request after it has replaced an expired
// token, and the first request has consumed the body. A streamBody cannot be repeated: its upload has to start over.
type replayBody struct{ next http.RoundTripper }

func (t replayBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if stream, ok := r.Body.(*streamBody); ok && stream.sent.Swap(true) {
		return nil, errStreamConsumed
	}
	if r.GetBody == nil {
		return t.next.RoundTrip(r)
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("reading the body of a request again: %w", err)
	}
	replay := *r
	replay.Body = body
	return t.next.RoundTrip(&replay)
}

// streamBody is a body that can be sent only once. Closing it does nothing: a connection may still read from it.
type streamBody struct {
	io.Reader
	sent atomic.Bool
}

func (*streamBody) Close() error { return nil }

var errStreamConsumed = errors.New("the registry wants the blob again, but its stream is consumed")
