package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

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
		u := upload{repository: target, digest: digest, doing: fmt.Sprintf("mounting the blob %s of %s in %s", digest, source, target)}
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

// copyMissing copies the blob, unless an earlier run did.
func (c *Client) copyMissing(ctx context.Context, from name.Repository, u upload, size int64) error {
	there, err := c.HasBlob(ctx, u.repository.Name(), u.digest)
	if err != nil {
		return err
	}
	if there {
		c.giveUp(ctx, u)
		return nil
	}
	u.doing = fmt.Sprintf("copying the blob %s of %s to %s", u.digest, from, u.repository)
	return c.upload(ctx, u, func(u upload) error { return c.copy(ctx, from, u, size) })
}

// giveUp ends an upload that is not needed. The registry does it later where this fails.
func (c *Client) giveUp(ctx context.Context, u upload) {
	if u.location == nil {
		return
	}
	_, _ = c.ask(ctx, question{
		doing: u.doing, method: http.MethodDelete, repository: u.repository, scopes: pushing(u.repository), url: u.location,
		want: []int{http.StatusNoContent, http.StatusAccepted, http.StatusOK}, once: true,
	})
}

func (c *Client) copy(ctx context.Context, from name.Repository, u upload, size int64) error {
	repo, q, err := getting(from.Name(), u.digest)
	if err != nil {
		return err
	}
	source, err := c.openBlob(ctx, repo, q, u.digest)
	if err != nil {
		return err
	}
	defer source.Close()
	if length := source.response.ContentLength; length >= 0 {
		size = length
	}
	p := &progress{Reader: source, digest: u.digest, size: max(size, -1), tell: c.Copying}
	if p.size == 0 {
		p.size = -1
	}
	p.say(true)
	err = c.finish(ctx, u, question{stream: p, size: p.size})
	if p.err != nil { // the source's fault, of which the connection to the target only says that it was cut
		err = errors.Join(p.err, err)
	}
	if err == nil {
		p.say(true)
	}
	return err
}

// progress tells how far a copy is.
type progress struct {
	io.Reader
	digest     string
	done, size int64
	tell       func(digest string, done, size int64)
	told       time.Time
	err        error
}

// everySecond is how often a copy tells how far it is.
const everySecond = time.Second

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.done += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	p.say(false)
	return n, err
}

func (p *progress) say(now bool) {
	if p.tell == nil || !now && time.Since(p.told) < everySecond {
		return
	}
	p.told = time.Now()
	p.tell(p.digest, p.done, p.size)
}
