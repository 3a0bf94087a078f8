package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Mount makes a blob of one repository known in another: once per run, whoever asks. In the same registry no bytes move,
// if the registry agrees. Where it does not, and from another registry, the blob is copied through this machine, which
// Copying is told. size is the blob's, in bytes. One blob is mounted once at a time in all of a registry: two mounts at
// once can break one.
func (c *Client) Mount(ctx context.Context, from, to, digest string, size int64) error {
	source, err := blobAt(from, digest)
	if err != nil {
		return err
	}
	target, err := blobAt(to, digest)
	if err != nil {
		return err
	}
	if source.Name() == target.Name() {
		return nil
	}
	return c.flights.share(ctx, target.Name()+"@"+digest, func() error {
		if c.known.has(target, digest) {
			return nil
		}
		leave, err := c.turns.enter(ctx, target.RegistryStr()+" "+digest)
		if err != nil {
			return err
		}
		defer leave()
		doing := fmt.Sprintf("mounting the blob %s of %s in %s", digest, source, target)
		u := upload{repository: target, digest: digest, doing: doing}
		if err := c.mount(ctx, source, u, size); err != nil {
			return err
		}
		c.known.add(target, digest)
		return nil
	})
}

func (c *Client) mount(ctx context.Context, from name.Repository, u upload, size int64) error {
	if from.RegistryStr() != u.repository.RegistryStr() {
		return c.copyMissing(ctx, from, u, size)
	}
	a, err := c.askToMount(ctx, from, u)
	switch {
	case status(err) == http.StatusMethodNotAllowed || has(err, transport.UnsupportedErrorCode):
		return c.copyMissing(ctx, from, u, size)
	case err != nil:
		return err
	case a.status == http.StatusCreated:
		return nil
	}
	// 202: the registry did not mount it, and began an upload instead.
	if u.location, err = location(a); err != nil {
		return fmt.Errorf("%s: %w", u.doing, err)
	}
	return c.copyMissing(ctx, from, u, size)
}

// askToMount can be asked again, unlike for an upload: a mount that was made is found to be there.
func (c *Client) askToMount(ctx context.Context, from name.Repository, u upload) (answer, error) {
	query := url.Values{"mount": {u.digest}, "from": {from.RepositoryStr()}}
	scopes := append(pushing(u.repository), pulling(from)...)
	var again tries
	for {
		a, err := c.start(ctx, u, query, scopes, http.StatusCreated, http.StatusAccepted)
		if err == nil || !again.worth(ctx, c.backOff, err, false) {
			return a, err
		}
	}
}
