package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// silentHost is a registry that accepts connections and never answers, but for the paths in answers.
type silentHost struct{ answers string }

func (s silentHost) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if r.URL.Path == s.answers {
		return
	}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// A registry that stops answering costs a minute for each attempt. The error names the request, the host and the time.
func TestNoResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(authn.DefaultKeychain, registrytest.Hosts{"quay.io": silentHost{"/v2/"}}, nil)
		begin := time.Now()
		_, err := c.Manifest(t.Context(), "quay.io/a/b:c")
		if err == nil || !strings.HasSuffix(err.Error(), "reading the manifest of quay.io/a/b:c: no response for 1m0s from quay.io: i/o timeout") {
			t.Errorf("%v; want the request, the host and the time", err)
		}
		if took := time.Since(begin).Truncate(10 * time.Second); took != 3*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// A host that has never answered is waited for once, however many look-ups follow. Later it is asked again. The handshake is no
// answer.
func TestHostThatNeverAnswers(t *testing.T) {
	for _, host := range []silentHost{{}, {"/v2/"}} {
		synctest.Test(t, func(t *testing.T) {
			hosts := registrytest.Hosts{"quay.io": host}
			c := New(authn.DefaultKeychain, hosts, nil)
			begin := time.Now()
			for range 20 {
				_, err := c.Digest(t.Context(), "quay.io/a/b:c")
				if err == nil || !strings.Contains(err.Error(), "no response") || !strings.Contains(err.Error(), "from quay.io") {
					t.Errorf("%v; want the host", err)
				}
			}
			if took := time.Since(begin); took > 2*time.Minute {
				t.Errorf("20 requests waited %v", took)
			}
			time.Sleep(time.Minute)
			hosts["quay.io"] = registrytest.New(silent(), 0, 1)
			if _, err := c.Digest(t.Context(), "quay.io/a/b:c"); err != nil {
				t.Errorf("after a minute: %v", err)
			}
		})
	}
}

// The error names the host that does not answer, which may be the registry's token server.
func TestTokenServerThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asksForTokens := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		c := New(authn.DefaultKeychain, registrytest.Hosts{"r.example": asksForTokens, "auth.example": silentHost{}}, nil)
		_, err := c.Digest(t.Context(), "r.example/a/b:c")
		if err == nil || !strings.Contains(err.Error(), "no response from auth.example") {
			t.Errorf("%v; want auth.example", err)
		}
	})
}

// trickle is a stream that gives so many bytes at a time, each after a while.
type trickle struct {
	left, chunk int64
	interval    time.Duration
	ctx         context.Context
}

func (s *trickle) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.interval):
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
	n := copy(p, make([]byte, min(s.chunk, s.left)))
	s.left -= int64(n)
	return n, nil
}

// trickling is a registry that sends every blob so, and takes every blob at the same rate.
type trickling struct {
	size, chunk int64
	interval    time.Duration
	took        atomic.Int64
}

func (g *trickling) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r, Header: http.Header{}}
	switch {
	case r.URL.Path == "/v2/":
	case r.Method == http.MethodHead:
		answer.StatusCode = http.StatusNotFound
	case r.Method == http.MethodPost:
		answer.StatusCode = http.StatusAccepted
		answer.Header.Set("Location", "/upload")
	case r.Method == http.MethodPut:
		for b := make([]byte, g.chunk); ; {
			select {
			case <-time.After(g.interval):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			n, err := io.ReadFull(r.Body, b)
			g.took.Add(int64(n))
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		answer.StatusCode = http.StatusCreated
	default:
		answer.Body = io.NopCloser(&trickle{g.size, g.chunk, g.interval, r.Context()})
	}
	return answer, nil
}

// byHost sends requests to the transport of their host.
type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) { return b[r.URL.Host].RoundTrip(r) }

// A stream that moves less than 1 MiB in a minute ends with an error, however regularly its bytes come. The error names the side
// that is slow. A slow stream above that rate goes on for as long as it takes.
func TestStreamsHaveALeastRate(t *testing.T) {
	const size = 8 << 20
	zeros := digestOf(string(make([]byte, size)))
	fast := func() *trickling { return &trickling{size: size, chunk: 1 << 20} }
	cases := []struct {
		name     string
		from, to *trickling
		says     string
		within   time.Duration
	}{
		{"both fast", fast(), fast(), "", time.Second},
		{"a source at 64 KiB in 3 s", &trickling{size: size, chunk: 64 << 10, interval: 3 * time.Second}, fast(), "", 7 * time.Minute},
		{"a target at 64 KiB in 3 s", fast(), &trickling{chunk: 64 << 10, interval: 3 * time.Second}, "", 7 * time.Minute},
		{
			"both at 64 KiB in 3 s", &trickling{size: size, chunk: 64 << 10, interval: 3 * time.Second},
			&trickling{chunk: 64 << 10, interval: 3 * time.Second},
			"", 15 * time.Minute,
		},
		{
			"a source at a byte in a second", &trickling{size: size, chunk: 1, interval: time.Second}, fast(),
			"reading the blob " + zeros + " of from.example/a/b: fewer than 1048576 bytes in 1m0s at from.example: i/o timeout", 4 * time.Minute,
		},
		{
			"a target at a KiB in a second", fast(), &trickling{chunk: 1 << 10, interval: time.Second},
			"fewer than 1048576 bytes in 1m0s at to.example: i/o timeout", 4 * time.Minute,
		},
		{
			"a source that stops", &trickling{size: size, chunk: 1 << 20, interval: time.Hour}, fast(),
			"fewer than 1048576 bytes in 1m0s at from.example", 4 * time.Minute,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := New(authn.DefaultKeychain, byHost{"from.example": c.from, "to.example": c.to}, nil)
				begin := time.Now()
				err := client.Mount(t.Context(), "from.example/a/b", "to.example/c/d", zeros, size)
				if c.says == "" && (err != nil || c.to.took.Load() != size) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("%v, and %d bytes arrived; want %q", err, c.to.took.Load(), c.says)
				}
				if took := time.Since(begin); took > c.within {
					t.Errorf("took %v, want at most %v", took, c.within)
				}
			})
		})
	}
}

// A caller that reads slowly gets the whole blob. A registry that sends no more bytes does not block it for ever.
func TestBlobStalls(t *testing.T) {
	for _, stalls := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := New(authn.DefaultKeychain, oneBlob{stalls}, nil)
			blob, err := c.OpenBlob(t.Context(), "quay.io/a/b", digestOf("xxxxx"))
			if err != nil {
				t.Fatal(err)
			}
			defer blob.Close()
			begin := time.Now()
			var got []byte
			for err == nil {
				time.Sleep(2 * time.Minute)
				var n int
				b := make([]byte, 1)
				n, err = blob.Read(b)
				got = append(got, b[:n]...)
			}
			if stalls && (!errors.Is(err, errStalled) || time.Since(begin) > 10*time.Minute) {
				t.Errorf("stalled: %v after %v", err, time.Since(begin))
			}
			if !stalls && (!errors.Is(err, io.EOF) || string(got) != "xxxxx") {
				t.Errorf("read slowly: %q, %v", got, err)
			}
		})
	}
}

// oneBlob is a registry with one blob, whose last bytes may never arrive.
type oneBlob struct{ stalls bool }

func (g oneBlob) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &blobBody{request: r, left: "xxxxx"}
	if g.stalls {
		body.left, body.stalls = "xx", true
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body), Request: r}, nil
}

// blobBody is a body that ends with the context of its request, like a connection.
type blobBody struct {
	request *http.Request
	left    string
	stalls  bool
}

func (g *blobBody) Read(p []byte) (int, error) {
	if g.left == "" && g.stalls {
		<-g.request.Context().Done()
	}
	if err := g.request.Context().Err(); err != nil {
		return 0, err
	}
	if g.left == "" {
		return 0, io.EOF
	}
	n := copy(p, g.left)
	g.left = g.left[n:]
	return n, nil
}
