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

// links are the clients that have shaken hands with a registry, by registry and scopes: each has a bearer token of its
// own.
type links struct{ of sync.Map }

// link gives the client that identifies itself to the repository's registry for the scopes, and gets a new token when the
// registry has enough of the old one. A handshake that failed is made again by the next one who asks.
func (c *Client) link(ctx context.Context, repository name.Repository, scopes []string) (*http.Client, error) {
	key := repository.RegistryStr() + " " + strings.Join(scopes, " ")
	if made, ok := c.links.of.Load(key); ok {
		return made.(*http.Client), nil
	}
	leave, err := c.turns.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	defer leave()
	if made, ok := c.links.of.Load(key); ok {
		return made.(*http.Client), nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, repository)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", repository.RegistryStr(), err)
	}
	wire, err := transport.NewWithContext(ctx, repository.Registry, auth, rewinding{listening{c.transport}}, scopes)
	if err != nil {
		return nil, fmt.Errorf("shaking hands with %s: %w", repository.RegistryStr(), err)
	}
	made := &http.Client{Transport: wire}
	c.links.of.Store(key, made)
	return made, nil
}

// rewinding begins each sending of a request at the start of its body: the library sends a request again when its token
// has expired, and the first sending has read the body. One that streams is not sent again: its upload has to start anew.
type rewinding struct{ next http.RoundTripper }

func (r rewinding) RoundTrip(request *http.Request) (*http.Response, error) {
	if stream, ok := request.Body.(*streaming); ok && stream.sent.Swap(true) {
		return nil, errSentBefore
	}
	if request.GetBody == nil {
		return r.next.RoundTrip(request)
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, fmt.Errorf("reading a request's body again: %w", err)
	}
	again := *request
	again.Body = body
	return r.next.RoundTrip(&again)
}

// streaming is a body that can be sent once. (The connection of the first sending may still be reading it.)
type streaming struct {
	io.Reader
	sent atomic.Bool
}

func (*streaming) Close() error { return nil }

var errSentBefore = errors.New("the registry wants the blob again, which was read already")
