package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// began are the things that began at some time, in that order.
func (h *house) began() []string {
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
// the first is past the stages that both share. A run that finds all eval-bases begins with the first reference.
func TestOrderOfRebase(t *testing.T) {
	h := newHouse(t)
	h.config.MaxWorkers = 8
	synctest.Test(t, func(t *testing.T) {
		r := h.rebase(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images", map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase"}, r.made())
		got := h.began()
		alone := strings.TrimPrefix(got[0], "0s eval-base ") // any of three
		want := []string{"0s eval-base " + alone}
		for _, id := range []string{"c", "d", "e"} {
			if id != alone {
				want = append(want, "1m0s eval-base "+id)
			}
		}
		want = append(want, "1m0s image a", "1m30s image b", "2m0s base stage a", "2m30s base stage b")
		differ(t, "order", want, got)

		h.sha = strings.Repeat("b", 40)
		r = h.rebase(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images of the next commit",
			map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase"}, r.made())
		differ(t, "its order", []string{"3m30s image a", "4m0s image b", "4m30s base stage a", "5m0s base stage b"}, h.began())
	})
}

// Two targets are both references: there is no eval-base that they could wait for.
func TestRebaseOfTwo(t *testing.T) {
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		r := h.rebase(t, true, h.targets(t, "a", "b"))
		differ(t, "images", map[string]string{"a": "native", "b": "native"}, r.made())
		differ(t, "order", []string{"0s image a", "30s image b", "1m0s base stage a", "1m30s base stage b"}, h.began())
	})
}

// Where the first reference fails, the second and one more are built after it; the native build to compare with comes when
// both are known, and not at all where nothing can be learned from them.
func TestOrderOfComparison(t *testing.T) {
	cases := []struct {
		name   string
		change func(h *house)
		want   []string
	}{
		{"both are good", func(*house) {}, []string{"0s image a", "30s image b", "1m0s base stage a", "1m30s base stage b", "2m30s comparison e"}},
		{"the first fails", func(h *house) {
			h.fails = func(what string) error {
				if what == "image a" {
					return errors.New("broken")
				}
				return nil
			}
		}, []string{"0s image a", "1m0s image b", "1m30s image c", "2m0s base stage b", "2m30s base stage c", "3m30s comparison e"}},
		{"they differ", func(h *house) { h.others = map[string]string{"image b": "two"} },
			[]string{"0s image a", "30s image b", "1m0s base stage a", "1m30s base stage b", "2m30s image c", "2m30s image d", "2m30s image e"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			synctest.Test(t, func(t *testing.T) {
				h.takes = func(what string) time.Duration {
					if strings.HasPrefix(what, "eval-base") {
						return 0
					}
					return time.Minute
				}
				h.config.Verify, h.config.MaxWorkers = 1, 8
				c.change(h)
				h.rebase(t, true, h.targets(t, "a", "b", "c", "d", "e"))
				got := slices.DeleteFunc(h.began(), func(what string) bool { return strings.Contains(what, "eval-base") })
				differ(t, "order", c.want, got)
			})
		})
	}
}
