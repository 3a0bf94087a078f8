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

// Blob reads a blob of up to 8 MiB, such as a config, by one GET and verifies its digest. The error is ErrNotFound if the
// repository does not have it.
func (c *Client) Blob(ctx context.Context, repository, digest string) ([]byte, error) {
	repo, r, err := blobRequest(repository, digest)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, notFound(err)
	}
	if err := verifyDigest(digest, resp.body); err != nil {
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	c.known.Store(keyOf(repo, digest), true)
	return resp.body, nil
}

// OpenBlob opens a blob of any size for reading. The last read fails if the content does not match the digest; a read fails if
// fewer than 1 MiB arrive in a minute of reading. The error is ErrNotFound if the repository does not have the blob.
func (c *Client) OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error) {
	repo, r, err := blobRequest(repository, digest)
	if err != nil {
		return nil, err
	}
	blob, err := c.openBlob(ctx, repo, r, digest)
	if err != nil {
		return nil, err
	}
	return blob, nil
}

func (c *Client) openBlob(ctx context.Context, repo name.Repository, r request, want string) (*blobReader, error) {
	b := c.newBackoff()
	for {
		resp, a, err := c.send(ctx, r, b.waited)
		if err == nil {
			c.known.Store(keyOf(repo, want), true)
			return &blobReader{r.doing, resp, a, received{resp.Body, a.newPace()}, digest.Digest(want).Verifier()}, nil
		}
		if !b.next(ctx, err, false) {
			return nil, notFound(err)
		}
	}
}

// blobRequest returns the request that reads a blob.
func blobRequest(repository, digest string) (name.Repository, request, error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return repo, request{}, err
	}
	return repo, request{
		doing: fmt.Sprintf("reading the blob %s of %s", digest, repo), method: http.MethodGet, repository: repo,
		scopes: pullScope(repo), url: endpoint(repo, "blobs/"+digest), success: []int{http.StatusOK},
	}, nil
}

// parseBlob parses the name of a repository and validates the digest of a blob in it.
func parseBlob(repository, want string) (name.Repository, error) {
	ref, err := parse(repository)
	if err != nil {
		return name.Repository{}, err
	}
	if err := digest.Digest(want).Validate(); err != nil {
		return name.Repository{}, fmt.Errorf("the digest %q of a blob of %s: %w", want, repository, err)
	}
	return ref.Context(), nil
}

// blobReader reads a blob and verifies its digest at the end.
type blobReader struct {
	doing    string
	response *http.Response
	attempt  *attempt
	body     io.Reader
	verifier digest.Verifier
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	_, _ = b.verifier.Write(p[:n]) // a hash never fails
	switch {
	case errors.Is(err, io.EOF):
		if !b.verifier.Verified() {
			return n, fmt.Errorf("%s: the content does not match the digest", b.doing)
		}
	case err != nil:
		return n, fmt.Errorf("%s: %w", b.doing, b.attempt.asError(err))
	}
	return n, err
}

func (b *blobReader) Close() error {
	err := b.response.Body.Close()
	b.attempt.stop()
	return err
}

// HasBlob checks by one HEAD whether the repository has a blob. If the registry refuses the HEAD, a GET decides.
func (c *Client) HasBlob(ctx context.Context, repository, digest string) (bool, error) {
	repo, r, err := blobRequest(repository, digest)
	if err != nil {
		return false, err
	}
	r.doing, r.method = fmt.Sprintf("checking the blob %s of %s", digest, repo), http.MethodHead
	if _, err = c.do(ctx, r); err != nil && refusesHead(err) {
		r.method = http.MethodGet
		var blob *blobReader
		if blob, err = c.openBlob(ctx, repo, r, digest); err == nil {
			blob.Close()
		}
	}
	switch {
	case err == nil:
		c.known.Store(keyOf(repo, digest), true)
		return true, nil
	case errors.Is(notFound(err), ErrNotFound):
		c.known.Delete(keyOf(repo, digest))
		return false, nil
	}
	return false, err
}

// blobKey is a blob of a repository.
type blobKey struct{ repository, digest string }

func keyOf(repository name.Repository, digest string) blobKey {
	return blobKey{repository.Name(), digest}
}

// knows reports whether the repository has a blob because this run has put, mounted or read it.
func (c *Client) knows(repository name.Repository, digest string) bool {
	_, known := c.known.Load(keyOf(repository, digest))
	return known
}
