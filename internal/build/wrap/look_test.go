package wrap

import (
	"net/http"
	"strings"
	"testing"
)

// To look makes nothing, writes no log, and says what Wrapped would do.
func TestLook(t *testing.T) {
	cases := []struct {
		name                 string
		wrap, made           string // made are the requirements of a wrapped base that is there
		force                bool
		refuse               string // a part of the paths that the registry does not answer
		wrapped, there, fail bool
	}{
		{name: "no wrap", there: true},
		{name: "missing", wrap: sphinx, wrapped: true},
		{name: "there", wrap: sphinx, made: sphinx, wrapped: true, there: true},
		{name: "there with other requirements", wrap: sphinx, made: sphinx + " other", wrapped: true},
		{name: "forced", wrap: sphinx, made: sphinx, force: true, wrapped: true},
		{name: "no answer about the base", wrap: sphinx, refuse: "/hub/", fail: true},
		{name: "no answer about the wrapped base", wrap: sphinx, refuse: "/eval/images/", fail: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, "echo no >&2; exit 1")
			target, digest := h.target(t, "sphinx-doc__sphinx-1", c.wrap)
			if c.made != "" {
				h.push(t, h.host+"/eval/images:"+tag(target.BaseImage+"@"+digest, c.made))
			}
			h.Force = c.force
			h.refuse = func(path string) int {
				if c.refuse != "" && strings.Contains(path, c.refuse) {
					return http.StatusForbidden
				}
				return 0
			}
			got, there, err := h.Look(t.Context(), target)
			want := target.BaseImage
			if c.wrapped {
				want = h.host + "/eval/images:" + tag(target.BaseImage+"@"+digest, c.wrap)
			}
			if got.BaseImage != want || there != c.there || (err != nil) != c.fail {
				t.Errorf("%s, there: %v, error %v; want %s, %v, an error: %v", got.BaseImage, there, err, want, c.there, c.fail)
			}
			if args := h.read(t, "args"); args != "" {
				t.Errorf("docker was called: %s", args)
			}
		})
	}
}
