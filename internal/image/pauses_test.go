package image

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/registry"
)

// paused rejects the first write, and the first one after each pause, a few times.
type paused struct {
	after time.Duration
	times int

	mu    sync.Mutex
	until time.Time
}

func (p *paused) fault(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Method == http.MethodGet || r.Method == http.MethodHead || p.times == 0 || time.Now().Before(p.until) {
		return false
	}
	p.times--
	p.until = time.Now().Add(p.after)
	w.Header().Set("Retry-After", fmt.Sprint(p.after.Seconds()))
	w.WriteHeader(http.StatusTooManyRequests)
	return true
}

// A pause that the registry asks for costs all images its time, and none of them an attempt.
func TestPausesAreWaitedOut(t *testing.T) {
	cases := []*paused{{after: 11 * time.Second, times: 3}, {after: time.Minute, times: 4}}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.times, " of ", c.after), func(t *testing.T) {
			h := with(t, ours)
			ids := []string{"a", "b"}
			for i := range 50 {
				ids = append(ids, fmt.Sprint("i", i))
			}
			synctest.Test(t, func(t *testing.T) {
				h.takes = func(string) time.Duration { return time.Second }
				h.run(t, true, h.targets(t, ids...))
				targets := h.targets(t, ids...)[2:]
				for _, target := range targets {
					h.delete(t, target.Tags[0])
				}
				faults := &paused{after: c.after, times: c.times}
				h.ours.Fault = faults.fault
				begin := time.Now()
				r := h.run(t, false, targets)
				took := time.Since(begin)
				for id, how := range r.made() {
					if how != "rebase" {
						t.Errorf("%s is %s", id, how)
					}
				}
				for _, e := range r.outcomes {
					if len(e.Attempts) != 1 {
						t.Errorf("%s had %d attempts", e.Target.InstanceID, len(e.Attempts))
					}
				}
				want := time.Duration(c.times) * c.after
				if len(r.outcomes) != 50 || took < want || took > want+time.Minute || faults.times != 0 {
					t.Errorf("%d images after %s, %d pauses left; want 50 after %s", len(r.outcomes), took, faults.times, want)
				}
				if said := fmt.Sprintf("images.test asks to wait for %s", c.after); !strings.Contains(r.said.String(), said) {
					t.Errorf("the log does not say %q", said)
				}
			})
		})
	}
}

// denying answers the requests for manifests of c with 403 and words. A HEAD has no body.
func denying(words string, more func(*http.Request) bool) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "-c-source-minimal") || !more(r) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(words))
		}
		return true
	}
}

// One image for which the registry denies an answer is that image's matter, when the others were answered.
func TestDeniedLookup(t *testing.T) {
	reads := func(r *http.Request) bool { return r.Method == http.MethodHead || r.Method == http.MethodGet }
	once := func() func(*http.Request) bool {
		var one sync.Once
		return func(r *http.Request) (is bool) {
			if reads(r) {
				one.Do(func() { is = true })
			}
			return is
		}
	}
	cases := []struct {
		name  string
		words string
		when  func() func(*http.Request) bool
		want  string
	}{
		{"one HEAD", "", once, "rebase"},
		{"a look", "", func() func(*http.Request) bool {
			begin := time.Now()
			return func(r *http.Request) bool { return reads(r) && time.Since(begin) == 0 }
		}, "rebase"},
		{"always", "denied", func() func(*http.Request) bool { return reads }, "registry-auth"},
		{"a secondary rate limit", "You have exceeded a secondary rate limit", func() func(*http.Request) bool {
			begin := time.Now()
			return func(r *http.Request) bool { return reads(r) && time.Since(begin) < 3*time.Minute }
		}, "rebase"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, ours)
			h.settings.MaxRetries = 2
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b", "c", "d"))
				h.sha = strings.Repeat("b", 40)
				h.takes = func(string) time.Duration { return time.Second }
				h.ours.Fault = denying(c.words, c.when())
				r := h.run(t, true, h.targets(t, "a", "b", "c", "d"))
				differ(t, "images", map[string]string{"a": "native", "b": "native", "c": c.want, "d": "rebase"}, r.made())
			})
		})
	}
}

// A registry that denies every lookup ends the run before its first build.
func TestAllLookupsDenied(t *testing.T) {
	h := with(t, ours)
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "a", "b", "c")
		h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		r := h.run(t, true, targets)
		denied, ok := errors.AsType[*registry.Denied](r.err)
		if !ok || !strings.Contains(denied.Hint(), "registry-username") || len(h.began()) > 0 {
			t.Errorf("%v, builds %v; want a *Denied before any build", denied, h.began())
		}
	})
}

// posts are the uploads that were begun in a repository.
func (h *fixture) posts(repository string) int {
	return h.ours.Count(http.MethodPost, "/v2/"+repository+"/blobs/uploads/")
}

// The question of whether the registry takes pushes is asked again like any other, and its failure has the hint of its kind.
func TestPreflightAsksAgain(t *testing.T) {
	answers := func(times, status int, retryAfter, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || times == 0 {
				return false
			}
			times--
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	cases := []struct {
		name              string
		times, status     int
		retryAfter, words string
		hint              string
		within            [2]time.Duration
	}{
		{"too many requests", 2, 429, "30", "", "", [2]time.Duration{time.Minute, 2 * time.Minute}},
		{"unavailable", 4, 503, "", "", "", [2]time.Duration{time.Second, time.Minute}},
		{"a secondary rate limit", 1, 403, "", "You have exceeded a secondary rate limit", "", [2]time.Duration{time.Minute, 2 * time.Minute}},
		{"no right", 1, 403, "", "denied", "registry-username", [2]time.Duration{0, 0}},
		{"too many requests for ever", 10000, 429, "60", "", "slow down", [2]time.Duration{25 * time.Minute, time.Hour}},
		{"unavailable for ever", 10000, 503, "", "", "status page", [2]time.Duration{time.Second, time.Minute}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, ours)
			h.settings.MaxRetries = 2
			synctest.Test(t, func(t *testing.T) {
				r := h.newRun(t, true)
				h.ours.Fault = answers(c.times, c.status, c.retryAfter, c.words)
				begin := time.Now()
				err := ProbePush(t.Context(), r.registry, ours, "image", h.settings.MaxRetries, r)
				if got := hinted(err); (err == nil) != (c.hint == "") || err != nil && !strings.Contains(got, "\nhint: ") || !strings.Contains(got, c.hint) {
					t.Errorf("%s; want the hint %q", got, c.hint)
				}
				if took := time.Since(begin); took < c.within[0] || took > c.within[1] {
					t.Errorf("it took %s, want %s", took, c.within)
				}
			})
		})
	}
}

// hinted is an error as a user sees it.
func hinted(err error) string {
	var hinting interface{ Hint() string }
	if err == nil || !errors.As(err, &hinting) {
		return fmt.Sprint(err)
	}
	return err.Error() + "\nhint: " + hinting.Hint()
}

// Where the user has named a repository for eval-bases, the right to push there is asked for once, before the first eval-base or
// reference is made; and not where all are there. Nothing can be rebased then, and no image is built natively in its place.
func TestEvalBasesThatMayNotBePushed(t *testing.T) {
	h := with(t, "images.test/bases")
	synctest.Test(t, func(t *testing.T) {
		all := h.targets(t, "a", "b", "c")
		h.run(t, true, all)
		h.delete(t, all[2].Tags[0])
		h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			denied := r.Method == http.MethodPost && r.URL.Path == "/v2/bases/blobs/uploads/"
			if denied {
				w.WriteHeader(http.StatusForbidden)
			}
			return denied
		}
		h.ours.Reset()
		r := h.run(t, true, all)
		differ(t, "images whose eval-base is there", map[string]string{"a": "there", "b": "there", "c": "rebase"}, r.made())
		if n := h.posts("bases"); n != 0 || r.err != nil {
			t.Errorf("%d probes where no eval-base is made; %v", n, r.err)
		}

		h.sha = strings.Repeat("c", 40)
		h.ours.Reset()
		r = h.run(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images", map[string]string{
			"a": "registry-auth", "b": "registry-auth", "c": "registry-auth", "d": "registry-auth", "e": "registry-auth",
		}, r.made())
		differ(t, "builds that were begun", []string(nil), h.began())
		if n := h.posts("bases"); n != 1 {
			t.Errorf("%d probes, want 1", n)
		}
		if got := hinted(r.err); !strings.Contains(got, "images.test/bases") || !strings.Contains(got, "the repository in eval-base-image") {
			t.Errorf("the run ends with %s", got)
		}
	})
}
