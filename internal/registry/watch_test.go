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

// A registry that does not answer costs a minute for each try, and the error names it.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := registrytest.New(silent(), 0, 1)
		g.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				return false
			}
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		c := New(authn.DefaultKeychain, aborting{inside{g}})
		begin := time.Now()
		err := c.PutManifest(t.Context(), "quay.io/a/b:c", imageOf(t, "{}"))
		if err == nil || !strings.Contains(err.Error(), "no answer for 1m0s") ||
			!strings.Contains(err.Error(), "quay.io/a/b:c") {
			t.Errorf("%v; want what was not answered, and for how long", err)
		}
		if took := time.Since(begin).Truncate(10 * time.Second); took != 3*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// aborting turns a handler's abort into a cut connection, as a server does.
type aborting struct{ next http.RoundTripper }

func (a aborting) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	defer func() {
		if recover() != nil {
			answer, err = nil, errors.Join(io.ErrUnexpectedEOF, r.Context().Err())
		}
	}()
	return a.next.RoundTrip(r)
}

// slow gives one byte in each interval.
type slow struct {
	left     int
	interval time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.interval)
	s.left--
	p[0] = 'x'
	return 1, nil
}

// What moves slowly is not stalled.
func TestWatch(t *testing.T) {
	for interval, stalls := range map[time.Duration]bool{50 * time.Second: false, 70 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, w := watching(t.Context(), time.Minute)
			defer w.stop()
			_, err := io.Copy(io.Discard, w.over(&slow{10, interval}))
			if (ctx.Err() != nil) != stalls || err != nil || errors.Is(w.explain(io.EOF), errStalled) != stalls {
				t.Errorf("a byte each %v: %v, %v; want stalled: %v", interval, err, w.explain(io.EOF), stalls)
			}
		})
	}
}

// A blob that is read slowly is read to its end; one of which nothing comes any more is not waited for.
func TestBlobStalls(t *testing.T) {
	for _, stalls := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := New(authn.DefaultKeychain, giving{stalls})
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

// giving is a registry of one blob, the last bytes of which may never come.
type giving struct{ stalls bool }

func (g giving) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &given{request: r, left: "xxxxx"}
	if g.stalls {
		body.left, body.stalls = "xx", true
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body), Request: r}, nil
}

// given is an answer that ends with its request, as a connection does.
type given struct {
	request *http.Request
	left    string
	stalls  bool
}

func (g *given) Read(p []byte) (int, error) {
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
