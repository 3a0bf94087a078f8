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
