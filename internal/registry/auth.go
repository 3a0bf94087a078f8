package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// authClient returns an HTTP client with a token for the scopes of a repository, one for each list of scopes. It replaces an
// expired token by itself. Requests for tokens are no writes. If the handshake fails, the next caller tries again: the pullers of
// the library keep a failed one for ever, and then one 503 at the start of a run fails all 500 images.
func (c *Client) authClient(ctx context.Context, repository name.Repository, scopes []string) (*http.Client, error) {
	key := repository.RegistryStr() + " " + strings.Join(scopes, " ")
	unlock, err := c.locks.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, ok := c.authClients.Load(key); ok {
		return found.(*http.Client), nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, repository)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", repository.RegistryStr(), err)
	}
	t, err := transport.NewWithContext(ctx, repository.Registry, auth, c.base, scopes)
	if err != nil {
		return nil, fmt.Errorf("authenticating with %s: %w", repository.RegistryStr(), err)
	}
	client := &http.Client{Transport: t, CheckRedirect: checkRedirect}
	c.authClients.Store(key, client)
	return client, nil
}
