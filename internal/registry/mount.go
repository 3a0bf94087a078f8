package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
)

// Mount makes a blob of one repository available in another, once per run. Within one registry it asks for a mount, which moves
// no bytes. If the registry does not mount it, or the repositories are in different registries, the blob is copied through this
// machine and reported as Copying. size is the blob's, in bytes. A digest is mounted by one request at a time in all of a
// registry: two concurrent mounts can break one.
func (c *Client) Mount(ctx context.Context, from, to, digest string, size int64) error {
	source, err := parseBlob(from, digest)
	if err != nil {
		return err
	}
	target, err := parseBlob(to, digest)
	if err != nil {
		return err
	}
	if source.Name() == target.Name() {
		return nil
	}
	doing := fmt.Sprintf("mounting the blob %s of %s in %s", digest, source, target)
	return c.share(ctx, target.Name()+"@"+digest, doing, func() error {
		if c.knows(target, digest) {
			return nil
		}
		unlock, err := c.locks.lock(ctx, target.RegistryStr()+" "+digest)
		if err != nil {
			return err
		}
		defer unlock()
		if err := c.mount(ctx, source, upload{repository: target, digest: digest, doing: doing}, size); err != nil {
			return err
		}
		c.known.Store(keyOf(target, digest), true)
		return nil
	})
}

func (c *Client) mount(ctx context.Context, from name.Repository, u upload, size int64) error {
	if from.RegistryStr() != u.repository.RegistryStr() {
		return c.copyIfMissing(ctx, from, u, size)
	}
	query := url.Values{"mount": {u.digest}, "from": {from.RepositoryStr()}}
	scopes := append(pushScope(u.repository), pullScope(from)...)
	resp, err := c.startUpload(ctx, u, query, scopes, http.StatusCreated, http.StatusAccepted)
	switch {
	case err == nil && resp.status == http.StatusCreated:
		return nil
	case err == nil: // 202: the registry did not mount the blob and started an upload instead
		if u.location, err = location(resp); err != nil {
			return fmt.Errorf("%s: %w", u.doing, err)
		}
	case !refusesMount(err):
		return err
	}
	return c.copyIfMissing(ctx, from, u, size)
}

// refusesMount reports whether a copy may succeed after a mount failed with err. Registries give many answers where the
// specification asks for a 202: 401 of Harbor (https://github.com/goharbor/harbor/issues/17097), 405 of others. Whether the
// repository takes pushes, the upload tells.
func refusesMount(err error) bool {
	_, limited := errors.AsType[*RateLimited](err)
	return Answered(err) && !limited && status(err) != http.StatusTooManyRequests
}
