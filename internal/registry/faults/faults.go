// Package faults is a transport with the faults of real registries, for tests.
package faults

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	TooManySeconds      Kind = "429, Retry-After in seconds"
	TooManyMilliseconds Kind = "429, Retry-After in milliseconds"
	TooManyMicroseconds Kind = "429, Retry-After in microseconds" // as ghcr.io sends it
	Secondary           Kind = "403, secondary rate limit"        // as GitHub sends it
	SecondarySeconds    Kind = "403, secondary rate limit, Retry-After in seconds"
	SecondaryHead       Kind = "403 without a body" // the same in response to a HEAD
	Internal            Kind = "500"
	BadGateway          Kind = "502"
	Unavailable         Kind = "503"
	Refused             Kind = "reset before the request"  // the registry does not get it
	Reset               Kind = "reset before the response" // after the registry has done what was asked
	CutUpload           Kind = "reset in the middle of an upload"
	Truncated           Kind = "truncated response"
	Slow                Kind = "slow response"
	Silent              Kind = "no response"
	Expired             Kind = "expired token"
	WrongDigest         Kind = "wrong digest in the header"
)

// Kinds are all kinds.
var Kinds = []Kind{
	TooManySeconds, TooManyMilliseconds, TooManyMicroseconds, Secondary, SecondarySeconds, SecondaryHead, Internal, BadGateway,
	Unavailable, Refused, Reset, CutUpload, Truncated, Slow, Silent, Expired, WrongDigest,
}

// Transport sends requests through Next and lets some of them fail. The fields do not change after the first request; SetRate changes
// the rate later.
//
// Which requests fail, and how, depends on Seed, and on a request's method, path and number among its equals. It does not depend on
// the order in which concurrent requests arrive.
type Transport struct {
	Next http.RoundTripper
	Seed uint64
	// Rate is the share of the requests that fail: 0.05 is 5 %.
	Rate float64
	// Kinds are the faults to choose from. Of these, a request gets one that it can have.
	Kinds []Kind
	// Delay is how long a slow response takes.
	Delay time.Duration
	// TokenURL makes the registry demand bearer tokens, which the transport issues under this URL. Only such a token can expire.
	TokenURL string

	mu       sync.Mutex
	equals   map[string]uint64 // requests by method and path
	tokens   map[string]int    // requests with a token, by those that are valid
	issued   int
	requests int
	injected map[Kind]int
}

// SetRate sets the share of the requests that fail from now on.
func (t *Transport) SetRate(rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Rate = rate
}

// Injected returns how many faults of each kind there were.
func (t *Transport) Injected() map[Kind]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.injected)
}

// Requests returns how many requests there were.
func (t *Transport) Requests() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests
}

// Proxy returns a reverse proxy in front of a registry, which sends all requests through t. Clients see the faults as they would come
// from the registry.
func (t *Transport) Proxy(registry *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(registry)
			r.Out.Host = r.In.Host // the registry names it in Location headers
		},
		Transport:     t,
		FlushInterval: -1, // a response that is cut off must have begun
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// RoundTrip sends a request, or lets it fail.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.TokenURL != "" && strings.HasSuffix(t.TokenURL, r.URL.Path) {
		closeBody(r)
		return t.issueToken(r), nil
	}
	if t.TokenURL != "" && !t.hasValidToken(r) {
		closeBody(r)
		return t.challenge(r), nil
	}
	kind := t.choose(r)
	resp, err := t.fail(r, kind)
	if resp == nil && err == nil { // no fault of the request
		if resp, err = t.Next.RoundTrip(withoutToken(r, t.TokenURL)); err == nil {
			resp, err = t.spoil(r, resp, kind)
		}
	}
	return resp, err
}

// leastUses is how many requests a token serves before it can expire. Tokens are issued for minutes: no registry refuses a request's
// new token just after it has refused the old one.
const leastUses = 50

// choose returns the fault of a request, or "" for most.
func (t *Transport) choose(r *http.Request) Kind {
	key := r.Method + " " + path(r.URL)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.equals == nil {
		t.equals, t.injected = map[string]uint64{}, map[Kind]int{}
	}
	t.requests++
	t.equals[key]++
	if _, valid := t.tokens[token(r)]; valid {
		t.tokens[token(r)]++
	}
	hash := fnv.New64a()
	fmt.Fprint(hash, key, " ", t.equals[key])
	random := rand.New(rand.NewPCG(t.Seed, hash.Sum64()))
	if random.Float64() >= t.Rate {
		return ""
	}
	var possible []Kind
	for _, kind := range t.Kinds {
		if t.fits(kind, r) {
			possible = append(possible, kind)
		}
	}
	if len(possible) == 0 {
		return ""
	}
	kind := possible[random.IntN(len(possible))]
	if kind != Truncated && kind != WrongDigest { // those are counted when the response turns out to have something to spoil
		t.injected[kind]++
	}
	if kind == Expired {
		delete(t.tokens, token(r))
	}
	return kind
}

// path returns what equal requests have in common: uploads have random names.
func path(u *url.URL) string {
	before, _, upload := strings.Cut(u.Path, "/blobs/uploads/")
	if !upload {
		return u.Path
	}
	return before + "/blobs/uploads/ " + u.Query().Get("digest") + u.Query().Get("mount")
}

// fits reports whether a request can have a fault.
func (t *Transport) fits(kind Kind, r *http.Request) bool {
	switch kind {
	case Secondary:
		return r.Method != http.MethodHead
	case SecondaryHead:
		return r.Method == http.MethodHead
	case CutUpload:
		return r.Body != nil && r.Body != http.NoBody
	case Truncated:
		return r.Method == http.MethodGet
	case Expired:
		return t.tokens[token(r)] > leastUses
	case WrongDigest:
		return strings.Contains(r.URL.Path, "/manifests/") && r.Method != http.MethodDelete
	}
	return true
}

// errReset is what the library of Go says of a connection that breaks.
var errReset = errors.New("read: connection reset by peer")

// fail answers in place of the registry, or returns nothing when the registry has to answer.
func (t *Transport) fail(r *http.Request, kind Kind) (*http.Response, error) {
	const (
		limited   = `{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}`
		secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
	)
	switch kind {
	case CutUpload:
		_, _ = io.CopyN(io.Discard, r.Body, max(r.ContentLength, 2)/2)
		closeBody(r)
		return nil, errReset
	case Refused:
		closeBody(r)
		return nil, errReset
	case Silent:
		<-r.Context().Done()
		closeBody(r)
		return nil, context.Cause(r.Context())
	}
	var resp *http.Response
	switch kind {
	case TooManySeconds:
		resp = response(r, http.StatusTooManyRequests, limited, "Retry-After", "2")
	case TooManyMilliseconds:
		resp = response(r, http.StatusTooManyRequests, limited, "Retry-After", "250ms")
	case TooManyMicroseconds:
		resp = response(r, http.StatusTooManyRequests, limited, "Retry-After", "352.829µs")
	case Secondary, SecondaryHead:
		resp = response(r, http.StatusForbidden, secondary)
	case SecondarySeconds:
		resp = response(r, http.StatusForbidden, secondary, "Retry-After", "1")
	case Internal:
		resp = response(r, http.StatusInternalServerError, "")
	case BadGateway:
		resp = response(r, http.StatusBadGateway, "<html>bad gateway</html>")
	case Unavailable:
		resp = response(r, http.StatusServiceUnavailable, "")
	case Expired:
		resp = t.challenge(r)
	default:
		return nil, nil
	}
	closeBody(r)
	return resp, nil
}

// spoil changes a response of the registry.
func (t *Transport) spoil(r *http.Request, resp *http.Response, kind Kind) (*http.Response, error) {
	switch kind {
	case Reset:
		resp.Body.Close()
		return nil, errReset
	case Slow:
		select {
		case <-time.After(t.Delay):
		case <-r.Context().Done():
			resp.Body.Close()
			return nil, context.Cause(r.Context())
		}
	case WrongDigest:
		if resp.Header.Get("Docker-Content-Digest") != "" {
			resp.Header.Set("Docker-Content-Digest", "sha256:"+strings.Repeat("d", 64))
			t.count(kind)
		}
	case Truncated:
		if resp.ContentLength > 0 { // a blob may be large, so half of it is sent as it comes
			half := io.LimitReader(resp.Body, resp.ContentLength/2)
			resp.Body = truncated{io.MultiReader(half, broken{}), resp.Body}
			t.count(kind)
		}
	}
	return resp, nil
}

// truncated is a response that ends in its middle.
type truncated struct {
	io.Reader
	io.Closer
}

// broken is the rest of a response whose connection broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (t *Transport) count(kind Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.injected[kind]++
}

// issueToken answers a request for a token.
func (t *Transport) issueToken(r *http.Request) *http.Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tokens == nil {
		t.tokens = map[string]int{}
	}
	t.issued++
	issued := fmt.Sprint("token-", t.issued)
	t.tokens[issued] = 0
	return response(r, http.StatusOK, fmt.Sprintf(`{"token":%q}`, issued), "Content-Type", "application/json")
}

func (t *Transport) hasValidToken(r *http.Request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, valid := t.tokens[token(r)]
	return valid
}

func token(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// challenge demands a token.
func (t *Transport) challenge(r *http.Request) *http.Response {
	return response(r, http.StatusUnauthorized, "", "WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="registry"`, t.TokenURL))
}

// withoutToken returns the request as the registry behind gets it, which does not know the tokens.
func withoutToken(r *http.Request, tokenURL string) *http.Request {
	if tokenURL == "" {
		return r
	}
	plain := r.Clone(r.Context())
	plain.Header.Del("Authorization")
	return plain
}

func response(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(body)), Request: r, Body: http.NoBody,
	}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	if r.Method != http.MethodHead {
		resp.Body = io.NopCloser(strings.NewReader(body))
	}
	return resp
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}
