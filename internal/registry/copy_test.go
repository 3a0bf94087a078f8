package registry

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// A copy is reported as complete once, when the registry has taken the blob, and never when it refused it.
func TestACopyIsCompleteOnce(t *testing.T) {
	const content = "a layer"
	cases := []struct {
		name        string
		sizeUnknown bool
		refused     bool
		want        int
	}{
		{"taken", false, false, 1},
		{"taken, and its size was not known", true, false, 1},
		{"refused", false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, target := registrytest.New(silent(), 0, 1), registrytest.New(silent(), 0, 1)
				hosts := registrytest.Hosts{"source.test": source, "target.test": target}
				put(t, New(authn.DefaultKeychain, hosts, nil), "source.test/it", content)
				size := int64(len(content))
				if c.sizeUnknown {
					size = 0
					source.Fault = func(w http.ResponseWriter, r *http.Request) bool {
						if !strings.Contains(r.URL.Path, "/blobs/") {
							return false
						}
						_, _ = io.WriteString(w, content) // without a Content-Length
						return true
					}
				}
				target.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut {
						return false
					}
					time.Sleep(2 * reportInterval) // a read is reported after a while
					if c.refused {
						_, _ = io.Copy(io.Discard, r.Body)
						w.WriteHeader(http.StatusBadRequest)
					}
					return c.refused
				}
				reported := &reports{}
				err := New(authn.DefaultKeychain, hosts, reported).Mount(t.Context(), "source.test/it", "target.test/it", digestOf(content), size)
				if (err != nil) != c.refused {
					t.Fatal(err)
				}
				complete := 0
				for _, r := range reported.copies {
					if r[0] == r[1] {
						complete++
					}
				}
				if complete != c.want {
					t.Errorf("complete %d times, want %d: %v", complete, c.want, reported.copies)
				}
			})
		})
	}
}
