package image

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// A candidate that fails is followed by another; when all have failed the others are built natively, with the reason.
func TestCandidatesThatFail(t *testing.T) {
	cases := []struct {
		name       string
		fails      []string
		want       map[string]string
		references []string
		strict     bool
	}{
		{
			name: "the first", fails: []string{"image a"}, references: []string{"b", "c"},
			want: map[string]string{"a": "unknown", "b": "native", "c": "native", "d": "rebase", "e": "rebase"},
		},
		{
			name: "the second's base stage", fails: []string{"base stage b"}, references: []string{"a", "c"},
			want: map[string]string{"a": "native", "b": "native", "c": "native", "d": "rebase", "e": "rebase"},
		},
		{
			name: "all base stages", fails: []string{"base stage a", "base stage b", "base stage c", "base stage d", "base stage e"},
			want: map[string]string{"a": "native", "b": "native", "c": "native", "d": "native", "e": "native"},
		},
		{
			name: "more than are tried", fails: []string{"base stage"},
			want: map[string]string{
				"a": "native", "b": "native", "c": "native", "d": "native", "e": "native",
				"f": "native: there are not two images to learn from: making its base stage: building with the SDK: it is broken",
				"g": "native: there are not two images to learn from: making its base stage: building with the SDK: it is broken",
			},
		},
		{
			name: "where only rebases will do", fails: []string{"base stage"}, strict: true,
			want: map[string]string{
				"a": "native", "b": "native", "c": "native", "d": "native", "e": "native",
				"f": "not-rebased: there are not two images to learn from: making its base stage: building with the SDK: it is broken",
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			if c.strict {
				h.settings.Strict = true
			}
			h.fails = func(what string) error {
				if slices.ContainsFunc(c.fails, func(s string) bool { return strings.HasPrefix(what, s) }) {
					return errors.New("it is broken")
				}
				return nil
			}
			synctest.Test(t, func(t *testing.T) {
				var ids []string
				for id := range c.want {
					ids = append(ids, id)
				}
				slices.Sort(ids)
				r := h.run(t, true, h.targets(t, ids...))
				differ(t, "images", c.want, r.made())
				differ(t, "references", c.references, r.instances())
			})
		})
	}
}

// A target that is built natively for a reason of its own, or has failed, becomes no reference later: it would be built
// twice at once, or be there although the ledger says that it has failed.
func TestNoReferenceTwice(t *testing.T) {
	for _, c := range []struct {
		name string
		want string
		fail func(h *fixture)
	}{
		{"built natively", "native: the eval-base was not checked", func(h *fixture) {}},
		{"failed", "disk-full", func(h *fixture) {
			h.fails = func(what string) error {
				if what == "eval-base c" {
					return errors.New("no space left on device")
				}
				return nil
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				targets := h.targets(t, "a", "b", "c", "d", "e")
				if c.name == "built natively" {
					h.push(t, ours+":"+key(t, h.bases["c"]), registrytest.EvalBase(h.bases["c"], "unknown", "planted"))
					h.hub.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
						if strings.Contains(r.URL.Path, "/c/") { // after the first reference, which goes alone
							time.Sleep(20 * time.Second)
						}
						return false
					}
				}
				c.fail(h)
				fails := h.fails
				h.fails = func(what string) error {
					if what == "base stage a" {
						return errors.New("broken")
					}
					return fails(what)
				}
				h.takes = func(what string) time.Duration {
					switch what {
					case "image c":
						return time.Hour / 2
					case "base stage a":
						return 10 * time.Minute
					}
					return time.Second
				}
				r := h.run(t, true, targets)
				if got := r.made()["c"]; !strings.HasPrefix(got, c.want) {
					t.Errorf("it is %s", got)
				}
				n := 0
				for _, id := range h.did("image") {
					if id == "c" {
						n++
					}
				}
				if strings.HasPrefix(c.want, "native") && n != 1 || c.want == "disk-full" && n != 0 {
					t.Errorf("it was built %d times", n)
				}
				differ(t, "references", []string{"b", "d"}, sorted(r.instances()))
			})
		})
	}
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}
