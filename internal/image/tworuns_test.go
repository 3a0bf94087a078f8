package image

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// forTwo is a fixture for runs that are on at the same time.
func forTwo(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.settings.Verify, f.settings.MaxRetries, f.longTags = 1, 2, true
	return f
}

// another is a fixture of a run beside this one's: on the same registries, with a builder of its own.
func (f *fixture) another(t *testing.T) *fixture {
	t.Helper()
	other := forTwo(t)
	other.hosts, other.hub, other.ours, other.bases = f.hosts, f.hub, f.ours, maps.Clone(f.bases)
	other.built = "another"
	return other
}

// unevenly makes the registry take its time for writes of manifests, and for all requests for images that are made for comparison, so that
// the requests of two runs come in all orders.
func (f *fixture) unevenly() {
	var asked atomic.Int64
	f.ours.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") && (r.Method == http.MethodPut || strings.Contains(r.URL.Path, "-verify-")) {
			time.Sleep(time.Duration(asked.Add(1)*7919%3000) * time.Millisecond)
		}
		return false
	}
}

// Two runs at once end right, of one commit of the SDK and of two commits that share eval-bases. Neither breaks what the other has made,
// nor what it is in the middle of; and together they send hardly more requests than one after the other.
func TestTwoRunsAtOnce(t *testing.T) {
	const ids = "abcdefghijklmnop"
	alone := 0
	synctest.Test(t, func(t *testing.T) {
		f := forTwo(t)
		f.unevenly()
		f.run(t, true, f.targets(t, strings.Split(ids, "")...))
		alone = len(f.ours.Requests())
	})
	one, other := strings.Repeat("a", 40), strings.Repeat("b", 40)
	cases := []struct {
		name  string
		sha   string // of the second run
		ids   string // its instances
		later time.Duration
	}{
		{"one commit", one, ids, 0},
		{"one commit, while the references of the first run are built", one, ids, 75 * time.Second},
		{"one commit, while the first run compares them", one, ids, 100 * time.Second},
		{"one commit, while the first run verifies", one, ids, 3 * time.Minute},
		{"one commit and other instances", one, "qrstuvwxyz012345", 0},
		{"one commit and other instances, a little later", one, "qrstuvwxyz012345", 20 * time.Second},
		{"two commits", other, ids, 0},
		{"two commits, while the eval-bases are built", other, ids, 30 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			first := forTwo(t)
			synctest.Test(t, func(t *testing.T) {
				targets := first.targets(t, strings.Split(ids, "")...)
				second := first.another(t)
				second.sha = c.sha
				others := second.targets(t, strings.Split(c.ids, "")...)
				first.unevenly()
				runs := []*ran{first.newRun(t, true), second.newRun(t, true)}
				var both sync.WaitGroup
				both.Go(func() { runs[0].makeAll(t, first, targets) })
				both.Go(func() {
					time.Sleep(c.later)
					runs[1].makeAll(t, second, others)
				})
				both.Wait()
				if sent := len(first.ours.Requests()); sent > alone*5/2 {
					t.Errorf("%d requests, and one run alone sends %d", sent, alone)
				}
				for i, f := range []*fixture{first, second} {
					if compared := f.did("comparison"); len(compared) > 1 {
						t.Errorf("run %d had to build for comparison again: %v", i+1, compared)
					}
				}
				for i, r := range runs {
					natively := 0
					for _, out := range r.outcomes {
						if out.Status() == outcome.Failed {
							t.Errorf("run %d: %s: %v", i+1, out.Target.InstanceID, out.Err)
						}
						if out.Strategy == outcome.Native {
							natively++
						}
					}
					if r.err != nil || len(r.outcomes) != len(ids) || natively > mostCandidates {
						t.Errorf("run %d: %d images, %d built natively, %v; warnings %q", i+1, len(r.outcomes), natively, r.err, r.warnings)
					}
					for _, v := range r.verified {
						if v.Result != ledger.VerifiedOK {
							t.Errorf("run %d: %s is %s: %v", i+1, v.Instance, v.Result, v.Differences)
						}
					}
				}
				first.ours.Fault = nil
				reader := first.newRun(t, false).registry
				for _, all := range [][]plan.Target{targets, others} {
					if missing := first.whole(t, all); len(missing) > 0 {
						t.Errorf("missing: %v", missing)
					}
					for _, target := range all {
						if _, present, err := reader.Present(t.Context(), target.Tags); err != nil || !present {
							t.Errorf("%s is not there under all its tags on one digest (%v)", target.InstanceID, err)
						}
					}
				}
			})
		})
	}
}
