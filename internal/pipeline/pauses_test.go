package pipeline

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// paused refuses the first write, and the first one after each pause, a few times.
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
				h.rebase(t, true, h.targets(t, ids...))
				targets := h.targets(t, ids...)[2:]
				for _, target := range targets {
					h.delete(t, target.Tags[0])
				}
				faults := &paused{after: c.after, times: c.times}
				h.ours.Fault = faults.fault
				begin := time.Now()
				r := h.rebase(t, false, targets)
				took := time.Since(begin)
				for id, how := range r.made() {
					if how != "rebase" {
						t.Errorf("%s is %s", id, how)
					}
				}
				for _, e := range r.entries {
					if len(e.Attempts) != 1 {
						t.Errorf("%s had %d attempts", e.InstanceID, len(e.Attempts))
					}
				}
				want := time.Duration(c.times) * c.after
				if len(r.entries) != 50 || took < want || took > want+time.Minute || faults.times != 0 {
					t.Errorf("%d images after %s, %d pauses left; want 50 after %s", len(r.entries), took, faults.times, want)
				}
				if said := fmt.Sprintf("images.test asks to wait for %s", c.after); !strings.Contains(r.said.String(), said) {
					t.Errorf("the log does not say %q", said)
				}
			})
		})
	}
}
