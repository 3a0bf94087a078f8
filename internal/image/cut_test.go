package image

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A run that is cut off at any of its requests, before it arrives or before its answer does, leaves no tag of an image that
// is not whole, and the next run makes what is missing.
func TestCutAtEachRequest(t *testing.T) {
	for _, evalBases := range []string{ours, "images.test/bases"} {
		for _, arrives := range []bool{false, true} {
			t.Run(fmt.Sprint(evalBases, " arrives ", arrives), func(t *testing.T) {
				n, step := 0, 1
				if testing.Short() {
					step = 13
				}
				for cutAt(t, evalBases, n, arrives) && !t.Failed() {
					n += step
				}
				if n < 20 { // or it tests nothing
					t.Errorf("the run had only %d requests", n)
				}
			})
		}
	}
}

// cutAt cuts a run off at request n, and tells whether it came to it.
func cutAt(t *testing.T, evalBases string, n int, arrives bool) (cut bool) {
	h := with(t, evalBases)
	synctest.Test(t, func(t *testing.T) {
		targets := h.prepare(t)
		h.forgetLayers(t, evalBases)
		var mu sync.Mutex
		left := n
		h.hosts["images.test"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				if !cut && arrives {
					h.ours.ServeHTTP(w, r)
				}
				cut = true
				panic(http.ErrAbortHandler)
			}
			h.ours.ServeHTTP(w, r)
		})
		h.newRun(t, false).makeAll(t, h, targets)
		h.hosts["images.test"] = h.ours
		h.whole(t, targets)
		next := h.run(t, false, targets)
		for id, how := range next.made() {
			if how != "rebase" && how != "there" {
				t.Errorf("cut at %d, the next run: %s is %s", n, id, how)
			}
		}
		if missing := h.whole(t, targets); len(missing) > 0 || next.err != nil {
			t.Errorf("cut at %d, after the next run: %v are missing; %v", n, missing, next.err)
		}
	})
	return cut
}

// A token that expires in the middle of a run is renewed.
func TestTokenThatExpires(t *testing.T) {
	for _, evalBases := range []string{ours, "images.test/bases"} {
		t.Run(evalBases, func(t *testing.T) {
			h := with(t, evalBases)
			synctest.Test(t, func(t *testing.T) {
				targets := h.prepare(t)
				h.forgetLayers(t, evalBases)
				var mu sync.Mutex
				given, good := 0, map[string]int{}
				h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					mu.Lock()
					defer mu.Unlock()
					if r.URL.Path == "/token" {
						given++
						token := fmt.Sprint("token", given)
						good[token] = 3 // requests
						_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
						return true
					}
					token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
					if good[token]--; good[token] >= 0 {
						return false
					}
					w.Header().Set("WWW-Authenticate", `Bearer realm="https://images.test/token",service="images.test"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				r := h.run(t, false, targets)
				differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
				h.ours.Fault = nil
				if missing := h.whole(t, targets); len(missing) > 0 || given < 4 {
					t.Errorf("missing: %v; %d tokens", missing, given)
				}
			})
		})
	}
}
