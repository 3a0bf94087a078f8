package host

import (
	"os"
	"path/filepath"
	"strings"
)

// Mirror returns the Debian mirror that this machine installs from, or "" where debootstrap has to know one. The
// machine may have no access to others.
func Mirror() string {
	release, _ := os.ReadFile("/etc/os-release")
	if !strings.Contains("\n"+string(release), "\nID=debian\n") {
		return "" // Ubuntu's mirrors have no Debian
	}
	codename := field(string(release), "VERSION_CODENAME=")
	paths, _ := filepath.Glob("/etc/apt/sources.list.d/*") // the pattern is a good one
	for _, path := range append([]string{"/etc/apt/sources.list"}, paths...) {
		content, _ := os.ReadFile(path)
		if mirror := mirrorIn(string(content), codename); mirror != "" {
			return mirror
		}
	}
	return ""
}

// mirrorIn reads both forms of sources.list(5): `deb [options] URI suite component...`, and stanzas of fields.
func mirrorIn(sources, codename string) string {
	for stanza := range strings.SplitSeq(sources, "\n\n") {
		uris, suites := strings.Fields(field(stanza, "URIs:")), strings.Fields(field(stanza, "Suites:"))
		if len(uris) > 0 && len(suites) > 0 && suites[0] == codename {
			return uris[0]
		}
	}
	for line := range strings.Lines(sources) {
		words := strings.Fields(line)
		for i, word := range words {
			if words[0] == "deb" && strings.Contains(word, "://") && i+1 < len(words) && words[i+1] == codename {
				return word
			}
		}
	}
	return ""
}

func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
