package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

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

// copy streams the blob through this machine. Nothing of it is kept here.
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
	if length := source.response.ContentLength; length > 0 {
		size = length
	} else if size <= 0 {
		size = -1
	}
	p := &progress{Reader: source, digest: u.digest, size: size, tell: c.Copying}
	p.say(0)
	err = c.finish(ctx, u, question{stream: p, size: size})
	p.end(err == nil)
	return err
}

// progress tells how far a copy is.
type progress struct {
	io.Reader
	digest string
	size   int64

	mu   sync.Mutex // a connection may read on for a moment after the answer to the request
	done int64
	tell func(digest string, done, size int64)
	told time.Time
}

// tellEvery is how often a copy tells how far it is.
const tellEvery = time.Second

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done += int64(n); time.Since(p.told) >= tellEvery {
		p.say(p.done)
	}
	return n, err
}

func (p *progress) say(done int64) {
	if p.told = time.Now(); p.tell != nil {
		p.tell(p.digest, done, p.size)
	}
}

// end tells the end of a whole copy, and nothing any more of one that broke off.
func (p *progress) end(whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if whole {
		p.say(p.done)
	}
	p.tell = nil
}

// giveUp ends an upload that is not needed, if that can be done at once. The registry does it later where this fails.
func (c *Client) giveUp(ctx context.Context, u upload) {
	if u.location == nil {
		return
	}
	_, _ = c.sendOnce(ctx, question{
		doing: u.doing, method: http.MethodDelete, repository: u.repository, scopes: pushing(u.repository), url: u.location,
		want: []int{http.StatusNoContent, http.StatusAccepted, http.StatusOK},
	}, patience)
}
