package registry

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// A registry that does not answer costs a minute for each attempt. The error names the request and the time.
func TestNoResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := registrytest.New(silent(), 0, 1)
		g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				return false
			}
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		c := New(authn.DefaultKeychain, registrytest.Hosts{"quay.io": g}, nil)
		begin := time.Now()
		err := c.PutManifest(t.Context(), "quay.io/a/b:c", imageOf(t, "{}"))
		if err == nil || !strings.Contains(err.Error(), "no response for 1m0s") ||
			!strings.Contains(err.Error(), "quay.io/a/b:c") {
			t.Errorf("%v; want the reference and the time", err)
		}
		if took := time.Since(begin).Truncate(10 * time.Second); took != 3*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// slow returns one byte per interval.
type slowReader struct {
	left     int
	interval time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.interval)
	s.left--
	p[0] = 'x'
	return 1, nil
}

func TestSlowBodyIsNotStalled(t *testing.T) {
	for interval, stalls := range map[time.Duration]bool{50 * time.Second: false, 70 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, w := withStallTimeout(t.Context(), time.Minute)
			defer w.stop()
			_, err := io.Copy(io.Discard, w.resetOnRead(&slowReader{10, interval}))
			if (ctx.Err() != nil) != stalls || err != nil || errors.Is(w.asError(io.EOF), errStalled) != stalls {
				t.Errorf("a byte per %v: %v, %v; want stalled: %v", interval, err, w.asError(io.EOF), stalls)
			}
		})
	}
}

// A slow reader gets the whole blob. A registry that sends no more bytes does not block it for ever.
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
