package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
)

// Blob reads a blob of up to 8 MiB, such as a config, by one GET and verifies its digest. It is ErrNotFound where the
// repository does not have it.
func (c *Client) Blob(ctx context.Context, repository, digest string) ([]byte, error) {
	repo, q, err := getting(repository, digest)
	if err != nil {
		return nil, err
	}
	a, err := c.ask(ctx, q)
	if err != nil {
		return nil, missing(err)
	}
	if err := verify(digest, a.body); err != nil {
		return nil, fmt.Errorf("%s: %w", q.doing, err)
	}
	c.known.add(repo, digest)
	return a.body, nil
}

// OpenBlob begins to read a blob of any size. The last read fails where the content does not have the digest; a read
// fails where nothing arrives for a minute. It is ErrNotFound where the repository does not have the blob.
func (c *Client) OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error) {
	repo, q, err := getting(repository, digest)
	if err != nil {
		return nil, err
	}
	blob, err := c.openBlob(ctx, repo, q, digest)
	if err != nil {
		return nil, err
	}
	return blob, nil
}

func (c *Client) openBlob(ctx context.Context, repo name.Repository, q question, want string) (*blob, error) {
	var again tries
	for {
		response, watch, err := c.send(ctx, q, again.waited)
		if err == nil {
			c.known.add(repo, want)
			d := digest.Digest(want)
			return &blob{q.doing, response, watch, watch.only(response.Body), d, d.Verifier()}, nil
		}
		if !again.worth(ctx, c.backOff, err, false) {
			return nil, missing(err)
		}
	}
}

func getting(repository, digest string) (name.Repository, question, error) {
	repo, err := blobAt(repository, digest)
	if err != nil {
		return repo, question{}, err
	}
	return repo, question{
		doing: fmt.Sprintf("reading the blob %s of %s", digest, repo), method: http.MethodGet, repository: repo,
		scopes: pulling(repo), url: at(repo, "blobs/"+digest), want: []int{http.StatusOK},
	}, nil
}

// blobAt reads the name of a repository in which something is to be done with a blob.
func blobAt(repository, want string) (name.Repository, error) {
	ref, err := parse(repository)
	if err != nil {
		return name.Repository{}, err
	}
	if err := digest.Digest(want).Validate(); err != nil {
		return name.Repository{}, fmt.Errorf("the digest %q of a blob of %s: %w", want, repository, err)
	}
	return ref.Context(), nil
}

// blob is one that is being read.
type blob struct {
	doing    string
	response *http.Response
	watch    *watch
	reader   io.Reader
	want     digest.Digest
	verifier digest.Verifier
}

func (b *blob) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	_, _ = b.verifier.Write(p[:n]) // a hash takes all
	switch {
	case errors.Is(err, io.EOF):
		if !b.verifier.Verified() {
			return n, fmt.Errorf("%s: the content does not have this digest", b.doing)
		}
	case err != nil:
		return n, fmt.Errorf("%s: %w", b.doing, b.watch.explain(err))
	}
	return n, err
}

func (b *blob) Close() error {
	err := b.response.Body.Close()
	b.watch.stop()
	return err
}

// HasBlob asks by one HEAD whether the repository has a blob.
func (c *Client) HasBlob(ctx context.Context, repository, digest string) (bool, error) {
	repo, q, err := getting(repository, digest)
	if err != nil {
		return false, err
	}
	q.doing, q.method = fmt.Sprintf("asking for the blob %s of %s", digest, repo), http.MethodHead
	_, err = c.ask(ctx, q)
	switch {
	case err == nil:
		c.known.add(repo, digest)
		return true, nil
	case status(err) == http.StatusNotFound:
		c.known.forget(repo, digest)
		return false, nil
	}
	return false, err
}
