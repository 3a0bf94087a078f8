package imagediff

import (
	"archive/tar"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// agentChanges are changes of an image on purpose, and the path by which each is found.
var agentChanges = []struct {
	name, path string
	change     func(map[string]entry)
}{
	{"nothing", "", func(map[string]entry) {}},
	{"one byte", "/agent-server/main.py", func(e map[string]entry) { e["main"] = regular("agent-server/main.py", "print(2)") }},
	{"one byte more", "/agent-server/main.py", func(e map[string]entry) { e["main"] = regular("agent-server/main.py", "print(1)\n") }},
	{"one mode", "/agent-server/main.py", func(e map[string]entry) { e["main"] = e["main"].mode(0o755) }},
	{"set-uid", "/agent-server/main.py", func(e map[string]entry) { e["main"] = e["main"].mode(0o4644) }},
	{"a directory's mode", "/agent-server/lib", func(e map[string]entry) { e["lib"] = e["lib"].mode(0o700) }},
	{"one owner", "/agent-server/main.py", func(e map[string]entry) { e["main"] = e["main"].owner(10001, 0) }},
	{"one group", "/agent-server/lib", func(e map[string]entry) { e["lib"] = e["lib"].owner(0, 10001) }},
	{"one attribute", "/agent-server/main.py", func(e map[string]entry) { e["main"] = e["main"].xattr("security.capability", "\x01") }},
	{"one missing file", "/agent-server/main.py", func(e map[string]entry) { delete(e, "main") }},
	{"a missing folder", "/agent-server/lib", func(e map[string]entry) { delete(e, "lib"); delete(e, "one"); delete(e, "two") }},
	{"one file more", "/agent-server/new.py", func(e map[string]entry) { e["new"] = regular("agent-server/new.py", "") }},
	{"another link", "/agent-server/python", func(e map[string]entry) { e["link"] = symlink("agent-server/python", "/usr/bin/python3.12") }},
	{"a file for a link", "/agent-server/python", func(e map[string]entry) { e["link"] = regular("agent-server/python", "/usr/bin/python3.13") }},
	{"a file that is a directory", "/agent-server/main.py", func(e map[string]entry) { e["main"] = dir("agent-server/main.py") }},
	{"another device", "/agent-server/null", func(e map[string]entry) { e["null"] = regular("agent-server/null", "").of(tar.TypeChar, 1, 5) }},
	{"a removal of the base's", "/testbed", func(e map[string]entry) { e["wh"] = regular(".wh.testbed", "") }},
	{"a removal of all of the base's", "/opt/.wh..wh..opq", func(e map[string]entry) { e["opq"] = regular("opt/.wh..wh..opq", "") }},
	{"a link that is two files", "/agent-server/lib/one.so", func(e map[string]entry) { e["two"] = regular("agent-server/lib/two.so", "library") }},
	{"a link to the base's", "/agent-server/git", func(e map[string]entry) { e["git"] = link("agent-server/git", "usr/bin/git") }},
}

// agent is an agent's layer.
func agent() map[string]entry {
	return map[string]entry{
		"opt": dir("opt"), "top": dir("agent-server"), "main": regular("agent-server/main.py", "print(1)"), "lib": dir("agent-server/lib"),
		"one": regular("agent-server/lib/one.so", "library"), "two": link("agent-server/lib/two.so", "agent-server/lib/one.so"),
		"link": symlink("agent-server/python", "/usr/bin/python3.13"), "null": regular("agent-server/null", "").of(tar.TypeChar, 1, 3),
	}
}

// inOrder gives entries as a packer could: what is linked to comes first.
func inOrder(entries map[string]entry) []entry {
	var list []entry
	for _, name := range []string{"top", "main", "lib", "one", "two", "link", "null", "new", "opt", "wh", "opq", "git"} {
		if e, ok := entries[name]; ok {
			list = append(list, e)
		}
	}
	return list
}

func TestAgentLayers(t *testing.T) {
	base := []entry{dir("testbed"), dir("opt"), regular("opt/x", ""), regular("usr/bin/git", "")}
	for _, c := range agentChanges {
		t.Run(c.name, func(t *testing.T) {
			b := store()
			changed := agent()
			c.change(changed)
			want, got := b.image(t, gzipped, "{}", base, inOrder(agent())), b.image(t, gzipped, "{}", base, inOrder(changed))

			byTree := whats(compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}}))
			if c.path == "" && byTree != nil || c.path != "" && !cmp.Equal(byTree[:min(1, len(byTree))], []string{c.path}) {
				t.Errorf("by tree it differs in %q, want %q", byTree, c.path)
			}
			byDigest := whats(compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}, SameBuilder: true}))
			if c.path == "" && byDigest != nil || c.path != "" && (len(byDigest) < 2 || byDigest[0] != "agent layer 1" || byDigest[1] != c.path) {
				t.Errorf("by digest it differs in %q, want the layer and %q", byDigest, c.path)
			}
			whole := whats(compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}, Tree: true}))
			if slices.Sort(whole); len(slices.Compact(slices.Clone(whole))) != len(whole) {
				t.Errorf("as a whole it names one thing twice: %q", whole)
			}
			if c.path == "" && whole != nil || c.path != "" && !cmp.Equal(whole[:min(1, len(whole))], []string{c.path}) {
				t.Errorf("as a whole it differs in %q, want %q", whole, c.path)
			}
		})
	}
}

func TestEqualAgentLayersAreNotRead(t *testing.T) {
	b := store()
	want := b.image(t, gzipped, "{}", []entry{regular("a", "1")}, inOrder(agent()))
	got := b.image(t, gzipped, "{}", []entry{regular("a", "2")}, inOrder(agent()))
	if found := compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}}); found != nil || len(b.opened) != 0 {
		t.Errorf("differences %v, opened %v", found, b.opened)
	}
}

// Two builders can pack the same files in another order, at another time, and as another number of layers.
func TestAgentLayersOfTwoBuilders(t *testing.T) {
	b := store()
	entries := inOrder(agent())
	later := inOrder(agent())
	later[3], later[4] = regular("agent-server/lib/two.so", "library"), link("/agent-server/lib/one.so", "./agent-server/lib/two.so")
	later = append(later, regular(".wh..wh.aufs", ""))
	want, got := b.image(t, gzipped, "{}", entries), b.image(t, zstandar, "{}", later[:3], later[3:])
	if found := compare(t, b, want, got, Options{}); found != nil {
		t.Errorf("differences: %s", List(found, 5))
	}
	found := compare(t, b, want, got, Options{SameBuilder: true})
	if diff := cmp.Diff([]string{"number of agent layers", "agent layer 1"}, whats(found)); diff != "" {
		t.Errorf("within one builder (-want +got):\n%s", diff)
	}
}
