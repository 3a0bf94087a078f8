package host

import "testing"

func TestMirrorIn(t *testing.T) {
	cases := []struct{ name, sources, want string }{
		{"stanzas", "Types: deb\n# note\nURIs: http://security.test/s\nSuites: bookworm-security\nComponents: main\n\n" +
			"Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n", "http://mirror.test/debian"},
		{"lines", "# deb http://old.test bookworm main\ndeb-src http://src.test bookworm main\n" +
			"deb [signed-by=/k trusted=yes] http://mirror.test/debian bookworm main\n", "http://mirror.test/debian"},
		{"another vendor", "deb https://tools.test/apt tools-bookworm main\n", ""},
		{"nothing", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mirrorIn(c.sources, "bookworm"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
