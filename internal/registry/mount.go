package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
)

// Mount makes a blob of one repository available in another, once per run. It asks first whether it is there: a read is cheap, and
// registries limit writes. Within one registry it then asks for a mount, which moves no bytes. If the registry does not mount it,
// or the repositories are in different registries, the blob is copied through this machine and reported as Copying. size is the
// blob's, in bytes. A digest is mounted by one request at a time in all of a registry: two concurrent mounts can break one. The error
// is an *UnknownBlobs if the first repository does not have the blob.
func (c *Client) Mount(ctx context.Context, from, to, digest string, size int64) error {
	return c.bring(ctx, from, to, digest, size, true)
}

// ErrNotMounted is the error for a blob that the registry does not mount.
var ErrNotMounted = errors.New("the registry does not mount it")

// bring is Mount. Unless copies is true it copies nothing; the error is ErrNotMounted then.
func (c *Client) bring(ctx context.Context, from, to, digest string, size int64, copies bool) error {
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
	key := target.Name() + "@" + digest
	if !copies { // its failure is not that of a copy
		key = "mount " + key
	}
	return c.share(ctx, key, doing, func() error {
		if c.knows(target, digest) {
			return nil
		}
		unlock, err := c.locks.lock(ctx, target.RegistryStr()+" "+digest)
		if err != nil {
			return err
		}
		defer unlock()
		err = c.mount(ctx, source, upload{repository: target, digest: digest, doing: doing}, size, copies)
		if errors.Is(err, ErrNotFound) {
			return &UnknownBlobs{Digests: []string{digest}, Err: err}
		}
		if err != nil {
			return err
		}
		c.known.Store(keyOf(target, digest), true)
		return nil
	})
}

func (c *Client) mount(ctx context.Context, from name.Repository, u upload, size int64, copies bool) error {
	there, err := c.HasBlob(ctx, u.repository.Name(), u.digest)
	switch {
	case there:
		return nil
	case err != nil && !refusesMount(err): // else the repository may not exist yet, and the mount makes it
		return err
	}
	if from.RegistryStr() == u.repository.RegistryStr() {
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
	}
	if !copies {
		c.cancelUpload(ctx, u)
		return fmt.Errorf("%s: %w", u.doing, ErrNotMounted)
	}
	u.doing = fmt.Sprintf("copying the blob %s of %s to %s", u.digest, from, u.repository)
	return c.upload(ctx, u, func(u upload) error { return c.copyBlob(ctx, from, u, size) })
}

// refusesMount reports whether a copy may succeed after a mount failed with err. Registries give many answers where the
// specification asks for a 202: 401 of Harbor (https://github.com/goharbor/harbor/issues/17097), 405 of others. Whether the
// repository takes pushes, the upload tells.
func refusesMount(err error) bool {
	_, limited := errors.AsType[*RateLimited](err)
	return Answered(err) && !limited && status(err) != http.StatusTooManyRequests
}
