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

// PutBlob writes a blob by a POST and a PUT, or by nothing where this run put, mounted or read it there already.
func (c *Client) PutBlob(ctx context.Context, repository string, content []byte) (string, error) {
	d := digest.FromBytes(content).String()
	repo, err := blobAt(repository, d)
	if err != nil {
		return "", err
	}
	return d, c.flights.share(ctx, repo.Name()+"@"+d, func() error {
		if c.known.has(repo, d) {
			return nil
		}
		up := upload{repository: repo, digest: d, doing: fmt.Sprintf("putting the blob %s to %s", d, repo)}
		err := c.upload(ctx, up, func(u upload) error { return c.finish(ctx, u, question{body: content}) })
		if err == nil {
			c.known.add(repo, d)
		}
		return err
	})
}

// upload is a blob on its way to a repository.
type upload struct {
	repository name.Repository
	digest     string
	doing      string
	// location is where an upload that is begun goes on, or nil.
	location *url.URL
}

// upload begins an upload, if u is not, and has finish send the content. An upload that broke off starts anew: what a
// registry then has of it is not worth asking for.
func (c *Client) upload(ctx context.Context, u upload, finish func(upload) error) error {
	var again tries
	for {
		err := c.uploadOnce(ctx, u, finish)
		if err == nil || !again.worth(ctx, c.backOff, lostUpload(err), false) {
			return err
		}
		u.location = nil
	}
}

func (c *Client) uploadOnce(ctx context.Context, u upload, finish func(upload) error) error {
	if u.location == nil {
		a, err := c.start(ctx, u, nil, pushing(u.repository), http.StatusAccepted)
		if err != nil {
			return err
		}
		if u.location, err = location(a); err != nil {
			return fmt.Errorf("%s: %w", u.doing, err)
		}
	}
	return finish(u)
}

// lostUpload lets an upload that the registry does not know any more start anew.
func lostUpload(err error) error {
	if has(err, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode) {
		return errors.New("lost") // without a status: as a cut connection
	}
	return err
}

// start asks for an upload.
func (c *Client) start(ctx context.Context, u upload, query url.Values, scopes []string, want ...int) (answer, error) {
	address := at(u.repository, "blobs/uploads/")
	address.RawQuery = query.Encode()
	return c.ask(ctx, question{
		doing: u.doing, method: http.MethodPost, repository: u.repository, scopes: scopes, url: address, want: want, once: true,
	})
}

// finish sends the content, which q has, in one PUT.
func (c *Client) finish(ctx context.Context, u upload, q question) error {
	address := *u.location
	query := address.Query()
	query.Set("digest", u.digest)
	address.RawQuery = query.Encode()
	q.doing, q.method, q.repository, q.scopes, q.url = u.doing, http.MethodPut, u.repository, pushing(u.repository), &address
	q.media, q.want, q.once = "application/octet-stream", []int{http.StatusCreated, http.StatusNoContent, http.StatusOK}, true
	if q.stream == nil {
		_, err := c.ask(ctx, q)
		return err
	}
	_, err := c.sendOnce(ctx, q, 0) // what is read cannot be sent again
	return err
}

// location is where an upload goes on.
func location(a answer) (*url.URL, error) {
	said := a.header.Get("Location")
	if said == "" {
		return nil, errors.New("the registry began an upload and does not say where")
	}
	next, err := a.url.Parse(said)
	if err != nil {
		return nil, fmt.Errorf("reading where the upload goes on: %w", err)
	}
	return next, nil
}
