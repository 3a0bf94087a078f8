package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

// PutBlob writes a blob by a POST and a PUT and returns its digest. It sends nothing if this run has put, mounted or read the
// blob in that repository before.
func (c *Client) PutBlob(ctx context.Context, repository string, content []byte) (string, error) {
	d := digest.FromBytes(content).String()
	repo, err := parseBlob(repository, d)
	if err != nil {
		return "", err
	}
	u := upload{repository: repo, digest: d, doing: fmt.Sprintf("putting the blob %s to %s", d, repo)}
	return d, c.share(ctx, repo.Name()+"@"+d, u.doing, func() error {
		if c.knows(repo, d) {
			return nil
		}
		err := c.upload(ctx, u, func(u upload) error { return c.finishUpload(ctx, u, request{body: content}) })
		if err == nil {
			c.known.Store(keyOf(repo, d), true)
		}
		return err
	})
}

// upload is the upload of one blob to a repository.
type upload struct {
	repository name.Repository
	digest     string
	doing      string
	location   *url.URL // nil before the registry has started the upload
}

// upload starts an upload, unless the registry has started it, and calls send to send the content. When that fails, it starts
// over: the part that a registry has stored is not worth another request.
func (c *Client) upload(ctx context.Context, u upload, send func(upload) error) error {
	b := c.newBackoff()
	for {
		if u.location == nil {
			resp, err := c.startUpload(ctx, u, nil, pushScope(u.repository), http.StatusAccepted)
			if err != nil {
				return err
			}
			if u.location, err = location(resp); err != nil {
				return fmt.Errorf("%s: %w", u.doing, err)
			}
		}
		err := send(u)
		if err == nil || !b.next(ctx, lostUpload(err), false) {
			return err
		}
		u.location = nil
	}
}

// lostUpload turns the error for an upload that the registry no longer knows into one that is retried.
func lostUpload(err error) error {
	if hasCode(err, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode) {
		return errLostUpload // it has no status, like a broken connection
	}
	return err
}

var errLostUpload = errors.New("the registry has lost the upload")

// startUpload asks the registry to start an upload.
func (c *Client) startUpload(ctx context.Context, u upload, query url.Values, scopes []string, success ...int) (response, error) {
	address := endpoint(u.repository, "blobs/uploads/")
	address.RawQuery = query.Encode()
	return c.do(ctx, request{
		doing: u.doing, method: http.MethodPost, repository: u.repository, scopes: scopes, url: address, success: success,
	})
}

// finishUpload sends the content of r in one PUT.
func (c *Client) finishUpload(ctx context.Context, u upload, r request) error {
	address := *u.location
	query := address.Query()
	query.Set("digest", u.digest)
	address.RawQuery = query.Encode()
	r.doing, r.method, r.repository, r.scopes, r.url = u.doing, http.MethodPut, u.repository, pushScope(u.repository), &address
	r.mediaType, r.success = "application/octet-stream", []int{http.StatusCreated, http.StatusNoContent, http.StatusOK}
	r.noRetry = true
	if r.stream == nil {
		_, err := c.do(ctx, r)
		return err
	}
	_, err := c.doOnce(ctx, r, 0) // a stream cannot be sent again
	return err
}

// cancelUpload cancels an upload that is not needed. It makes one attempt and ignores an error: the registry discards the upload
// later by itself.
func (c *Client) cancelUpload(ctx context.Context, u upload) {
	if u.location == nil {
		return
	}
	_, _ = c.doOnce(ctx, request{
		doing: u.doing, method: http.MethodDelete, repository: u.repository, scopes: pushScope(u.repository), url: u.location,
		success: []int{http.StatusNoContent, http.StatusAccepted, http.StatusOK},
	}, maxWait) // does not wait for a pause
}

// location returns the URL at which an upload continues.
func location(resp response) (*url.URL, error) {
	header := resp.header.Get("Location")
	if header == "" {
		return nil, errors.New("the registry started an upload but returned no Location")
	}
	next, err := resp.url.Parse(header)
	if err != nil {
		return nil, fmt.Errorf("parsing the Location of an upload: %w", err)
	}
	return next, nil
}
