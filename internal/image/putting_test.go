package image

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Images are put while others are still looked for: a registry that limits writes has something to do from the first.
func TestPuttingBesideLooking(t *testing.T) {
	h := newFixture(t)
	var ids []string
	for i := range 3 * requestsAtOnce {
		ids = append(ids, fmt.Sprint("i", i))
	}
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, ids...)
		h.run(t, true, targets)
		for _, target := range targets {
			h.delete(t, target.Tags[0])
		}
		var mu sync.Mutex
		var firstPut, lastLook time.Time
		h.ours.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			look := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/eval-base-")
			put := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "-source-minimal")
			mu.Lock()
			if now := time.Now(); look {
				lastLook = now
			} else if put && firstPut.IsZero() {
				firstPut = now
			}
			mu.Unlock()
			if look {
				time.Sleep(time.Second)
			}
			return false
		}
		r := h.run(t, false, targets)
		if n := len(r.made()); n != len(ids) || !firstPut.Before(lastLook) {
			t.Errorf("%d images are there; the first was put %v after the last was looked for, want before", n, firstPut.Sub(lastLook))
		}
	})
}
