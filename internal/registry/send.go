package registry

import (
	"bytes"
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

// maxBody is the size in bytes of the largest response that is kept in memory. Manifests and configs are far smaller; the OCI
// distribution specification asks registries to accept manifests of up to 4 MiB.
const maxBody = 8 << 20

// request is one request to a registry.
type request struct {
	doing      string // begins its errors: "putting blob sha256:... to r/i"
	method     string
	repository name.Repository
	url        *url.URL
	scopes     []string
	accept     []string
	mediaType  string // of the body
	body       []byte
	stream     io.Reader // a body of size bytes that is not in memory
	size       int64     // -1 if unknown
	success    []int     // the HTTP statuses that are not an error
	// noRetry says that a transient failure ends the request. A part of an upload is not worth a retry: the upload starts over.
	noRetry bool
	// lookUp says that the caller would rather have no answer than wait: see maxLookUpWait.
	lookUp bool
}

// response is the response to a request.
type response struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // after redirects
}

// do sends a request, and retries it while that can help. A status other than the successful ones is an error: *RateLimited,
// *Denied, or one that names the status.
func (c *Client) do(ctx context.Context, r request) (response, error) {
	b := c.newBackoff()
	if r.lookUp {
		b.most = maxLookUpWait
	}
	for {
		resp, err := c.doOnce(ctx, r, b.waited)
		if err == nil || !b.next(ctx, err, r.noRetry) {
			return resp, err
		}
	}
}

// doOnce sends a request and reads the whole response. waited is how long the request has waited in pauses so far.
func (c *Client) doOnce(ctx context.Context, r request, waited time.Duration) (response, error) {
	resp, a, err := c.send(ctx, r, waited)
	if err != nil {
		return response{}, err
	}
	defer a.stop()
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return response{}, fmt.Errorf("%s: reading the response: %w", r.doing, a.asError(err))
	}
	if len(body) > maxBody {
		return response{}, fmt.Errorf("%s: the response has more than %d bytes", r.doing, maxBody)
	}
	return response{resp.StatusCode, resp.Header, body, resp.Request.URL}, nil
}

// send waits for the limiter if the request is a write, and sends it. The caller reads the body and then stops the attempt.
func (c *Client) send(ctx context.Context, r request, waited time.Duration) (*http.Response, *attempt, error) {
	host := r.repository.RegistryStr()
	limiter := c.limiter(host)
	if isWrite(r.method) {
		var err error
		if waited, err = limiter.take(ctx, host, waited); err != nil {
			if limited, ok := errors.AsType[*RateLimited](err); ok {
				return nil, nil, &RateLimited{limited.after, limited.waited, fmt.Errorf("%s: %w", r.doing, limited.Err)}
			}
			return nil, nil, fmt.Errorf("%s: %w", r.doing, err)
		}
	}
	a := newAttempt(ctx, c.base.host(host), r.lookUp)
	resp, err := c.roundTrip(a, r)
	if err == nil {
		if err = transport.CheckError(resp, r.success...); err == nil || status(err) == http.StatusNotFound {
			a.client.accepted.Store(true)
		}
		if err == nil {
			return resp, a, nil
		}
		resp.Body.Close()
	}
	err = asError(r.doing, a.asError(err), time.Duration(a.retryAfter.Load()))
	a.stop()
	if c.renew(a.client, r, err) {
		err = &staleCredentials{err}
	}
	if limited, ok := errors.AsType[*RateLimited](err); ok {
		limited.waited = waited
		if isWrite(r.method) {
			limiter.learnLimit(err)
			if limiter.pause(limited.after) && c.reporter != nil && limited.after >= time.Second {
				c.reporter.Pausing(host, limited.after)
			}
		}
	}
	return nil, nil, err
}

// roundTrip authenticates for the repository and sends the request.
func (c *Client) roundTrip(a *attempt, r request) (*http.Response, error) {
	client, err := c.authClient(a, r.repository, r.scopes)
	if err != nil {
		return nil, &handshakeError{err}
	}
	a.client = client
	req, err := http.NewRequestWithContext(a.ctx, r.method, r.url.String(), nil)
	if err != nil {
		return nil, err
	}
	switch {
	case r.stream != nil:
		body := &sent{Reader: r.stream, pace: a.newPace()}
		body.pace.run()
		req.Body, req.ContentLength = body, r.size
	case len(r.body) > 0:
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(r.body))
	}
	req.Header["Accept"] = r.accept
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	resp, err := client.Do(req)
	if err == nil {
		return resp, nil
	}
	if failed, ok := errors.AsType[*url.Error](err); ok { // its URL can hold a signature
		err = fmt.Errorf("%s %s: %w", r.method, a.host.Load().name, failed.Err)
	}
	if status(err) != 0 { // of a token server: an expired token could not be replaced
		err = &handshakeError{err}
	}
	return nil, err
}

func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// endpoint returns the URL of a path in a repository.
func endpoint(repository name.Repository, path string) *url.URL {
	return &url.URL{
		Scheme: repository.Scheme(), Host: repository.RegistryStr(), Path: "/v2/" + repository.RepositoryStr() + "/" + path,
	}
}

func pullScope(repository name.Repository) []string {
	return []string{repository.Scope(transport.PullScope)}
}

func pushScope(repository name.Repository) []string {
	return []string{repository.Scope(transport.PushScope)}
}
