package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// largest is the longest answer that is kept in memory, in bytes: manifests and configs are far below it, and the OCI
// distribution specification asks registries to take manifests of up to 4 MiB.
const largest = 8 << 20

// brokenTries is how often a request is sent again where the failure may pass (a 5xx, a cut connection).
const brokenTries = 2

// backOff is the wait before a second try; it doubles. It is short: the Retrier of the build waits longer.
const backOff = 500 * time.Millisecond

// storedWithin is how long a registry may take to store a large blob after its last byte: some read all of it again.
const storedWithin = 5 * time.Minute

// question is one request to a registry.
type question struct {
	doing      string // for errors: "putting blob sha256:... to r/i"
	method     string
	repository name.Repository
	url        *url.URL
	scopes     []string
	accept     []string
	media      string // the body's media type
	body       []byte
	stream     io.Reader // a body that is not in memory, of size bytes; -1 is unknown
	size       int64
	want       []int // the statuses that are a yes
	// once: do not send it again where it broke off. Part of an upload is not worth more than the upload.
	once bool
}

// answerWithin bounds the time in which nothing moves.
func (q question) answerWithin() time.Duration {
	if q.stream != nil {
		return storedWithin
	}
	return answerWithin
}

// answer is what the registry said to a question.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // after redirects
}

// ask sends a question, again where that can help. Another status than those wanted is an error: *Busy, *Refused, or
// one with the status.
func (c *Client) ask(ctx context.Context, q question) (answer, error) {
	var again tries
	for {
		a, err := c.sendOnce(ctx, q, again.waited)
		if err == nil || !again.worth(ctx, c.backOff, err, q.once) {
			return a, err
		}
	}
}

// sendOnce sends a question and reads all of the answer. waited is how long it has waited in pauses before.
func (c *Client) sendOnce(ctx context.Context, q question, waited time.Duration) (answer, error) {
	response, watch, err := c.send(ctx, q, waited)
	if err != nil {
		return answer{}, err
	}
	defer watch.stop()
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largest+1))
	if err != nil {
		return answer{}, fmt.Errorf("%s: reading the answer: %w", q.doing, watch.explain(err))
	}
	if len(body) > largest {
		return answer{}, fmt.Errorf("%s: an answer of more than %d bytes", q.doing, largest)
	}
	return answer{response.StatusCode, response.Header, body, response.Request.URL}, nil
}

// send sends a question once, after its token of the limiter. The watch is to be stopped when the answer is read; it ends
// the exchange when nothing moves.
func (c *Client) send(ctx context.Context, q question, waited time.Duration) (*http.Response, *watch, error) {
	host := q.repository.RegistryStr()
	limit := c.limiters.at(host)
	if writes(q.method) {
		var err error
		if waited, err = limit.take(ctx, host, waited); err != nil {
			return nil, nil, stopped(q.doing, err)
		}
	}
	ctx, asked := listen(ctx)
	ctx, watch := watching(ctx, q.answerWithin())
	response, err := c.exchange(ctx, q, watch)
	if err == nil {
		if err = transport.CheckError(response, q.want...); err == nil {
			return response, watch, nil
		}
		response.Body.Close()
	}
	err = asked.refusal(q.doing, watch.explain(err))
	watch.stop()
	if busy, ok := errors.AsType[*Busy](err); ok {
		busy.waited = waited
		if writes(q.method) {
			limit.learn(err)
			if limit.pause(busy.after) && c.Pausing != nil && busy.after >= time.Second {
				c.Pausing(host, busy.after)
			}
		}
	}
	return nil, nil, err
}

// exchange makes the request and sends it over the link to its repository.
func (c *Client) exchange(ctx context.Context, q question, watch *watch) (*http.Response, error) {
	client, err := c.link(ctx, q.repository, q.scopes)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, q.method, q.url.String(), nil)
	if err != nil {
		return nil, err
	}
	switch {
	case q.stream != nil:
		request.Body, request.ContentLength = &streaming{Reader: watch.over(q.stream)}, q.size
	case len(q.body) > 0:
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(q.body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(q.body))
	}
	request.Header["Accept"] = q.accept
	if q.media != "" {
		request.Header.Set("Content-Type", q.media)
	}
	return client.Do(request)
}

// tries counts how often a request was sent again, and for what. waited is how long it has waited because the registry asked
// for it.
type tries struct {
	busy, broken int
	waited       time.Duration
}

// worth waits before another try and reports true, or false where none is worth it.
func (t *tries) worth(ctx context.Context, backOff time.Duration, err error, once bool) bool {
	busy, asked := errors.AsType[*Busy](err)
	switch {
	case asked:
		// ghcr.io asks for microseconds at times, after which it refuses again.
		wait := max(busy.after, backOff/4<<min(t.busy, 9)) // to about a minute
		t.busy++
		t.waited = max(t.waited, busy.waited)
		if t.waited+wait > patience {
			return false
		}
		t.waited += wait
		return sleep(ctx, wait) == nil
	case transient(err) && !once:
		t.broken++
		return t.broken <= brokenTries && sleep(ctx, backOff<<(t.broken-1)) == nil
	}
	return false
}

// transient tells failures that may pass by themselves: the registry could not be reached or cut the connection, gave up,
// or has too much to do and does not say for how long.
func transient(err error) bool {
	switch code := status(err); code {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return code >= http.StatusInternalServerError && !has(err, transport.ManifestBlobUnknownErrorCode)
	}
}

// refusals are what a registry's refusal says in its body.
func refusals(err error) []transport.Diagnostic {
	if refusal, ok := errors.AsType[*transport.Error](err); ok {
		return refusal.Errors
	}
	return nil
}

// has tells whether a registry's refusal names one of the codes.
func has(err error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(refusals(err), func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// stopped is a wait that ended early.
func stopped(doing string, err error) error {
	if busy, ok := errors.AsType[*Busy](err); ok {
		return &Busy{busy.after, busy.waited, fmt.Errorf("%s: %w", doing, busy.Err)}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func writes(method string) bool { return method != http.MethodGet && method != http.MethodHead }
