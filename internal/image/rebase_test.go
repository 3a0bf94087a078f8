package image

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// began are the things that began at some time, in that order.
func (h *fixture) began() []string {
	slices.SortStableFunc(h.events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what))
	})
	var all []string
	for _, e := range h.events {
		if what, is := strings.CutPrefix(e.what, "begin "); is {
			all = append(all, fmt.Sprint(e.at, " ", what))
		}
	}
	return all
}

func differ(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The first eval-base of a run goes alone; then the first reference and the other eval-bases, and the second reference when
// the first is past the stages that both share; their own base stages need not wait for that. A run that finds all eval-bases
// begins with the first reference.
func TestOrderOfRebase(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxWorkers = 8
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images", map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase"}, r.made())
		got := h.began()
		alone := strings.TrimPrefix(got[0], "0s eval-base ") // any of three
		want := []string{"0s eval-base " + alone, "1m0s base stage a", "1m0s base stage b"}
		for _, id := range []string{"c", "d", "e"} {
			if id != alone {
				want = append(want, "1m0s eval-base "+id)
			}
		}
		want = append(want, "1m0s image a", "1m30s image b")
		differ(t, "order", want, got)

		h.sha = strings.Repeat("b", 40)
		r = h.run(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images of the next commit",
			map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase"}, r.made())
		differ(t, "its order", []string{"2m30s base stage a", "2m30s base stage b", "2m30s image a", "3m0s image b"}, h.began())
	})
}

// Two targets are both references: there is no eval-base that they could wait for.
func TestRebaseOfTwo(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.targets(t, "a", "b"))
		differ(t, "images", map[string]string{"a": "native", "b": "native"}, r.made())
		differ(t, "order", []string{"0s base stage a", "0s base stage b", "0s image a", "30s image b"}, h.began())
	})
}

// Where the first reference fails, the second and one more are built after it; the native build to compare with comes when
// both are known, and not at all where nothing can be learned from them.
func TestOrderOfComparison(t *testing.T) {
	cases := []struct {
		name   string
		change func(h *fixture)
		want   []string
	}{
		{"both are good", func(*fixture) {}, []string{"0s base stage a", "0s base stage b", "0s image a", "30s image b", "1m30s comparison e"}},
		{"the first fails", func(h *fixture) {
			h.fails = func(what string) error {
				if what == "image a" {
					return errors.New("broken")
				}
				return nil
			}
		}, []string{"0s base stage a", "0s base stage b", "0s image a", "1m0s base stage c", "1m0s image b", "1m30s image c", "2m30s comparison e"}},
		{
			"they differ", func(h *fixture) { h.others = map[string]string{"image b": "two"} },
			[]string{"0s base stage a", "0s base stage b", "0s image a", "30s image b", "1m30s image c", "1m30s image d", "1m30s image e"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				h.takes = func(what string) time.Duration {
					switch {
					case strings.HasPrefix(what, "eval-base"):
						return 0
					case what == "base stage a" && h.fails("image a") != nil: // it is given up
						return time.Hour
					}
					return time.Minute
				}
				h.settings.Verify, h.settings.MaxWorkers = 1, 8
				c.change(h)
				h.run(t, true, h.targets(t, "a", "b", "c", "d", "e"))
				got := slices.DeleteFunc(h.began(), func(what string) bool { return strings.Contains(what, "eval-base") })
				differ(t, "order", c.want, got)
			})
		})
	}
}

// One worker is enough for all of it, one after the other.
func TestRebaseWithOneWorker(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxWorkers, h.settings.Verify = 1, 1
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.targets(t, "a", "b", "c"))
		differ(t, "images", map[string]string{"a": "native", "b": "native", "c": "rebase"}, r.made())
		if got := len(h.began()); got != 6 || time.Since(start) != 6*time.Minute {
			t.Errorf("%d builds took %s: %v", got, time.Since(start), h.began())
		}
	})
}

// A base image whose registry asks to wait costs its own image that time, and the references none.
func TestReferencesDoNotWaitForABusyRegistry(t *testing.T) {
	h := newFixture(t)
	h.settings.MaxRetries = 2
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "a", "b", "c", "d"))
		begin := time.Since(start)
		h.sha = strings.Repeat("b", 40)
		h.hub.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			busy := strings.Contains(r.URL.Path, "/c/") && time.Since(start) < begin+10*time.Minute
			if busy {
				w.Header().Set("Retry-After", "660")
				w.WriteHeader(http.StatusTooManyRequests)
			}
			return busy
		}
		r := h.run(t, true, h.targets(t, "a", "b", "c", "d"))
		differ(t, "images", map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase"}, r.made())
		soon := slices.ContainsFunc(h.events, func(e event) bool { return e.what == "begin image a" && e.at < begin+10*time.Second })
		if !soon || time.Since(start) < begin+11*time.Minute {
			t.Errorf("from %s to %s: %v", begin, time.Since(start), h.began())
		}
	})
}

// A reference and its base stage are made at once, so each has a log.
func TestLogsOfReferences(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.targets(t, "a", "b", "c"))
		for name, want := range map[string][]bool{"a.log": {false, false}, "a.base-stage.log": {true, true}, "c.log": {false, true}} {
			text, err := os.ReadFile(filepath.Join(r.logs, name))
			if err != nil {
				t.Error(err)
			}
			got := []bool{strings.Contains(string(text), "its base stage"), strings.Contains(string(text), "docker buildx build")}
			differ(t, name+" has the base stage, and the look into it", want, got)
		}
	})
}
