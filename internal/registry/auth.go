package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// authClient is an HTTP client with a token or password.
type authClient struct {
	http.Client
	key      string
	accepted atomic.Bool // the registry has accepted it before
}

// authClient returns an HTTP client with a token for the scopes of a repository, one for each list of scopes. It replaces an
// expired token by itself. Requests for tokens are no writes. If the handshake fails, the next caller tries again: the pullers of
// the library keep a failed one for ever, and then one 503 at the start of a run fails all 500 images.
func (c *Client) authClient(a *attempt, repository name.Repository, scopes []string) (*authClient, error) {
	key := repository.RegistryStr() + " " + strings.Join(scopes, " ")
	// Until a request is sent, it is not the registry that does not answer.
	a.host.Store(&host{name: "the handshake of another request with " + repository.RegistryStr()})
	unlock, err := c.locks.lock(a.ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, ok := c.authClients.Load(key); ok {
		return found.(*authClient), nil
	}
	a.host.Store(&host{name: "the credential helper of " + repository.RegistryStr()})
	auth, err := authn.Resolve(a.ctx, c.keychain, repository)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", repository.RegistryStr(), err)
	}
	t, err := transport.NewWithContext(a.ctx, repository.Registry, auth, c.base, scopes)
	if err != nil {
		return nil, fmt.Errorf("authenticating with %s: %w", repository.RegistryStr(), err)
	}
	client := &authClient{Client: http.Client{Transport: t, CheckRedirect: checkRedirect}, key: key}
	c.authClients.Store(key, client)
	return client, nil
}

// renew forgets a client that the registry accepted before and refuses now, and reports whether it did: its password may have
// expired, of which a login program has a new one (https://github.com/kcl-lang/kpm/issues/659), or the registry does not know the
// new token yet. The request may be sent again with a client that asks for both anew. Such a client counts for nothing until the
// registry accepts it, so that one that is refused for good is not renewed for each request: some registries lock out clients that
// repeat a wrong password.
func (c *Client) renew(client *authClient, r request, err error) bool {
	denied, ok := errors.AsType[*Denied](err)
	if !ok || client == nil || !client.accepted.Load() || r.method == http.MethodHead && status(denied) == http.StatusForbidden {
		return false // after a 403 to a HEAD, a GET decides
	}
	c.authClients.CompareAndDelete(client.key, client)
	return true
}
