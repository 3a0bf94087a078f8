package imagediff

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const siteOf = "agent-server/.venv/lib/python3.13/site-packages/"

// What is on the lists passes, and what is only near to it does not.
func TestExpectedFiles(t *testing.T) {
	cases := []struct {
		name      string
		agent     bool
		want, got entry
		found     bool
	}{
		{"apt's cache", false, regular("var/cache/apt/pkgcache.bin", "1"), regular("var/cache/apt/pkgcache.bin", "22"), false},
		{"apt's other cache", false, regular("var/cache/apt/srcpkgcache.bin", "1"), regular("var/cache/apt/srcpkgcache.bin", "22"), false},
		{"ldconfig's cache", false, regular("var/cache/ldconfig/aux-cache", "1"), regular("var/cache/ldconfig/aux-cache", "2"), false},
		{"apt's history", false, regular("var/log/apt/history.log", "1"), regular("var/log/apt/history.log", "2"), false},
		{"apt's terminal", false, regular("var/log/apt/term.log", "1"), regular("var/log/apt/term.log", "2"), false},
		{"dpkg's log", false, regular("var/log/dpkg.log", "1"), regular("var/log/dpkg.log", "2"), false},
		{"its mode", false, regular("var/log/dpkg.log", "1"), regular("var/log/dpkg.log", "2").mode(0o600), true},
		{"its owner", false, regular("var/log/dpkg.log", "1"), regular("var/log/dpkg.log", "2").owner(1, 0), true},
		{"a link in its place", false, regular("var/log/dpkg.log", "1"), symlink("var/log/dpkg.log", "x"), true},
		{"another log", false, regular("var/log/auth.log", "1"), regular("var/log/auth.log", "2"), true},
		{"the list of packages", false, regular("var/lib/dpkg/status", "1"), regular("var/lib/dpkg/status", "2"), true},
		{"one such file elsewhere", false, regular("testbed/var/log/dpkg.log", "1"), regular("testbed/var/log/dpkg.log", "2"), true},
		{"such a file of the agent", true, regular("var/log/dpkg.log", "1"), regular("var/log/dpkg.log", "2"), true},
		{"the day a user was made", false, regular("etc/shadow", "a:!:20781::::::\n"), regular("etc/shadow", "a:!:20782::::::\n"), false},
		{"in the copy", false, regular("etc/shadow-", "a:!:20781::::::\n"), regular("etc/shadow-", "a:!:20782::::::\n"), false},
		{"a user's password", false, regular("etc/shadow", "a:!:20781::::::\n"), regular("etc/shadow", "a:x:20781::::::\n"), true},
		{"another user", false, regular("etc/shadow", "a:!:20781::::::\n"), regular("etc/shadow", "b:!:20781::::::\n"), true},

		{"a package's RECORD", true, regular(siteOf+"a-1.dist-info/RECORD", "1"), regular(siteOf+"a-1.dist-info/RECORD", "22"), false},
		{"uv's note", true, regular(siteOf+"a-1.dist-info/uv_cache.json", "1"), regular(siteOf+"a-1.dist-info/uv_cache.json", "2"), false},
		{"its mode", true, regular(siteOf+"a-1.dist-info/RECORD", "1"), regular(siteOf+"a-1.dist-info/RECORD", "2").mode(0o600), true},
		{"a package's other note", true, regular(siteOf+"a-1.dist-info/METADATA", "1"), regular(siteOf+"a-1.dist-info/METADATA", "2"), true},
		{"a RECORD that is none", true, regular(siteOf+"a/RECORD", "1"), regular(siteOf+"a/RECORD", "2"), true},
		{"a RECORD of the base", false, regular(siteOf+"a-1.dist-info/RECORD", "1"), regular(siteOf+"a-1.dist-info/RECORD", "2"), true},
		{"the time in compiled Python", true, regular("a.pyc", pycOf(0, 1, 5, "x")), regular("a.pyc", pycOf(0, 2, 5, "x")), false},
		{"its source's size", true, regular("a.pyc", pycOf(0, 1, 5, "x")), regular("a.pyc", pycOf(0, 1, 6, "x")), true},
		{"its source's hash", true, regular("a.pyc", pycOf(1, 1, 5, "x")), regular("a.pyc", pycOf(1, 2, 5, "x")), true},
		{"its code", true, regular("a.pyc", pycOf(0, 1, 5, "x")), regular("a.pyc", pycOf(0, 1, 5, "y")), true},
		{"compiled Python that is none", true, regular("a.pyc", "1"), regular("a.pyc", "2"), true},
		{"compiled Python of the base", false, regular("a.pyc", pycOf(0, 1, 5, "x")), regular("a.pyc", pycOf(0, 2, 5, "x")), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := store()
			o := Options{Tree: true}
			if !c.agent {
				o.BaseLayers = [2]int{1, 1}
			}
			var want []string
			if c.found {
				want = []string{"/" + c.want.name}
			}
			found := compare(t, b, b.image(t, gzipped, "{}", []entry{c.want}), b.image(t, gzipped, "{}", []entry{c.got}), o)
			if diff := cmp.Diff(want, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

// pycOf is a .pyc file as far as its header tells.
func pycOf(flags, time, size byte, code string) string {
	return string([]byte{0xf3, 13, 13, 10, flags, 0, 0, 0, time, 0, 0, 0, size, 0, 0, 0}) + code
}

func TestEveryExpectedFileHasAReason(t *testing.T) {
	for _, e := range append(builtFiles, agentFiles...) {
		if e.reason == "" {
			t.Errorf("%s has none", e.pattern)
		}
	}
}
