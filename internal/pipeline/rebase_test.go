package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

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
// the first has ended. A run that finds all eval-bases begins with the first reference.
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
		want = append(want, "1m0s image a", "2m0s base stage a", "2m0s image b", "3m0s base stage b")
		differ(t, "order", want, got)

		h.sha = strings.Repeat("b", 40)
		r = h.rebase(t, true, h.targets(t, "a", "b", "c", "d", "e"))
		differ(t, "images of the next commit",
			map[string]string{"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase"}, r.made())
		differ(t, "its order", []string{"4m0s image a", "5m0s base stage a", "5m0s image b", "6m0s base stage b"}, h.began())
	})
}

// Two targets are both references: there is no eval-base that they could wait for.
func TestRebaseOfTwo(t *testing.T) {
	h := newHouse(t)
	synctest.Test(t, func(t *testing.T) {
		r := h.rebase(t, true, h.targets(t, "a", "b"))
		differ(t, "images", map[string]string{"a": "native", "b": "native"}, r.made())
		differ(t, "order", []string{"0s image a", "1m0s base stage a", "1m0s image b", "2m0s base stage b"}, h.began())
	})
}
