package imagediff

import (
	"archive/tar"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each case has the layers of two images, and how their trees differ.
func TestTrees(t *testing.T) {
	lower := []entry{dir("a"), regular("a/x", "1"), regular("a/y", "2"), dir("a/b"), regular("a/b/z", "3"), symlink("l", "a")}
	flat := []entry{dir("./"), dir("./a"), regular("./a/x", "1"), regular("./a/y", "2"), dir("./a/b"), regular("./a/b/z", "3"), symlink("./l", "a")}
	cases := []struct {
		name      string
		want, got [][]entry
		found     []string
	}{
		{"the same in one layer and in two", [][]entry{lower}, [][]entry{flat[:3], flat[3:]}, nil},
		{"what is not there at first", [][]entry{lower[:1]}, [][]entry{lower[:1], lower}, []string{"/a/b", "/a/x", "/a/y", "/l"}},
		{
			"a whiteout of a file",
			[][]entry{{dir("a"), regular("a/y", "2"), symlink("l", "a"), dir("a/b"), regular("a/b/z", "3")}},
			[][]entry{lower, {regular("a/.wh.x", "")}},
			nil,
		},
		{
			"a whiteout of a folder",
			[][]entry{{dir("a"), regular("a/x", "1"), regular("a/y", "2"), symlink("l", "a")}},
			[][]entry{lower, {regular("a/.wh.b", "")}},
			nil,
		},
		{"a whiteout that is missing", [][]entry{lower, {regular("a/.wh.b", "")}}, [][]entry{lower}, []string{"/a/b"}},
		{"a whiteout of what is not there", [][]entry{lower}, [][]entry{lower, {regular("a/.wh.none", ""), regular("none/.wh.x", "")}}, nil},
		{"a whiteout says nothing of its own layer", [][]entry{lower}, [][]entry{lower, {regular("a/x", "1"), regular("a/.wh.x", "")}}, nil},
		{"one that comes first neither", [][]entry{lower}, [][]entry{lower, {regular("a/.wh.x", ""), regular("a/x", "1")}}, nil},
		{"removed and made again", [][]entry{lower}, [][]entry{lower, {regular(".wh.a", "")}, lower[:5]}, nil},
		{
			"an opaque folder",
			[][]entry{{dir("a"), regular("a/new", ""), symlink("l", "a")}},
			[][]entry{lower, {dir("a"), regular("a/new", ""), regular("a/.wh..wh..opq", "")}},
			nil,
		},
		{
			"an opaque marker first",
			[][]entry{{dir("a"), regular("a/new", ""), symlink("l", "a")}},
			[][]entry{lower, {dir("a"), regular("a/.wh..wh..opq", ""), regular("a/new", "")}},
			nil,
		},
		{
			"an opaque marker that is missing",
			[][]entry{lower, {dir("a"), regular("a/.wh..wh..opq", "")}},
			[][]entry{lower, {dir("a")}},
			[]string{"/a/b", "/a/x", "/a/y"},
		},
		{"aufs' own records", [][]entry{lower}, [][]entry{lower, {dir(".wh..wh.plnk"), regular(".wh..wh.aufs", "")}}, nil},
		{"a folder that becomes a file", [][]entry{lower}, [][]entry{lower, {regular("a/b", "3")}}, []string{"/a/b"}},
		{"and a folder again is empty", [][]entry{lower}, [][]entry{lower, {regular("a/b", "3")}, {dir("a/b")}}, []string{"/a/b/z"}},
		{"a link that becomes a folder by a file in it", [][]entry{lower, {dir("l"), regular("l/x", "")}}, [][]entry{lower, {regular("l/x", "")}}, nil},
		{"a link against a folder", [][]entry{lower, {dir("l")}}, [][]entry{lower}, []string{"/l"}},
		{"a folder whose mode a later layer changes", [][]entry{lower}, [][]entry{lower, {dir("a").mode(0o700)}}, []string{"/a"}},
		{"a file below changes nothing above", [][]entry{lower}, [][]entry{lower, {regular("a/x", "1")}}, nil},
		{"the root's mode", [][]entry{lower}, [][]entry{lower, {dir("./").mode(0o700)}}, []string{"/"}},
		{"a name that climbs", [][]entry{lower}, [][]entry{lower, {regular("../../a/x", "2")}}, []string{"/a/x"}},
		{"a header for all of the archive", [][]entry{lower}, [][]entry{append([]entry{{header: tar.Header{
			Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "1"},
		}}}, lower...)}, nil},
		{"times and names of users", [][]entry{lower}, [][]entry{append([]entry{dir("a"), {
			name: "a/x", content: "1",
			header: tar.Header{ModTime: fixedTime, Uname: "root", Gname: "root"},
		}}, lower[2:]...)}, nil},
		{"a hard link packed the other way round", [][]entry{{regular("p", "1"), link("q", "p")}}, [][]entry{{regular("q", "1"), link("p", "/q")}}, nil},
		{"a hard link against a copy", [][]entry{{regular("p", "1"), link("q", "p")}}, [][]entry{{regular("p", "1"), regular("q", "1")}}, []string{"/p", "/q"}},
		{"a hard link whose other name is gone", [][]entry{{regular("q", "1")}}, [][]entry{{regular("p", "1"), link("q", "p")}, {regular(".wh.p", "")}}, nil},
		{"a hard link to a layer below", [][]entry{{regular("p", "1"), link("q", "p")}}, [][]entry{{regular("p", "1")}, {link("q", "p")}}, nil},
		{"one of two names written anew", [][]entry{{regular("p", "1"), regular("q", "2")}}, [][]entry{{regular("p", "1"), link("q", "p")}, {regular("q", "2")}}, nil},
		{"a hard link to nothing", [][]entry{{regular("p", "1")}}, [][]entry{{regular("p", "1"), link("q", "none")}}, []string{"/q"}},
		{"a device's numbers", [][]entry{{regular("d", "").of(tar.TypeBlock, 8, 0)}}, [][]entry{{regular("d", "").of(tar.TypeBlock, 8, 1)}}, []string{"/d"}},
		{"a device's type", [][]entry{{regular("d", "").of(tar.TypeBlock, 8, 0)}}, [][]entry{{regular("d", "").of(tar.TypeChar, 8, 0)}}, []string{"/d"}},
		{"a pipe", [][]entry{{regular("d", "").of(tar.TypeFifo, 0, 0)}}, [][]entry{{regular("d", "")}}, []string{"/d"}},
		{"a symbolic link's mode, which it does not have", [][]entry{{symlink("l", "a")}}, [][]entry{{symlink("l", "a").mode(0o777)}}, nil},
		{"a symbolic link's owner", [][]entry{{symlink("l", "a")}}, [][]entry{{symlink("l", "a").owner(1, 1)}}, []string{"/l"}},
		{"an attribute", [][]entry{{regular("p", "").xattr("user.a", "1")}}, [][]entry{{regular("p", "").xattr("user.a", "2")}}, []string{"/p"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := store()
			want, got := b.image(t, plainTar, "{}", c.want...), b.image(t, plainTar, "{}", c.got...)
			o := Options{BaseLayers: [2]int{len(c.want), len(c.got)}, Tree: true, SameBuilder: true}
			if diff := cmp.Diff(c.found, whats(compare(t, b, want, got, o))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			o.BaseLayers = [2]int{len(c.got), len(c.want)}
			if diff := cmp.Diff(c.found, whats(compare(t, b, got, want, o))); diff != "" {
				t.Errorf("the other way round (-want +got):\n%s", diff)
			}
		})
	}
}

// A layer that removes what the base has by a name of the agent's shows in the whole tree, wherever the rest is equal.
func TestAgentOverAnotherBase(t *testing.T) {
	agent := []entry{dir("agent-server"), regular("agent-server/main.py", "")}
	cases := []struct {
		name      string
		want, got []entry
		found     []string
	}{
		{"equal", []entry{dir("a")}, []entry{dir("a")}, nil},
		{"another file below", []entry{dir("a")}, []entry{dir("a"), regular("a/x", "")}, []string{"/a/x"}},
		{"what lies under the agent's file is hidden", []entry{regular("agent-server/main.py", "1")}, []entry{dir("agent-server")}, nil},
		{
			"what lies beside it is not",
			[]entry{dir("agent-server")},
			[]entry{dir("agent-server"), regular("agent-server/old.py", "1")},
			[]string{"/agent-server/old.py"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := store()
			want, got := b.image(t, gzipped, "{}", c.want, agent), b.image(t, gzipped, "{}", c.got, agent)
			found := compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}, Tree: true})
			if diff := cmp.Diff(c.found, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescriptions(t *testing.T) {
	b := store()
	want := b.image(t, gzipped, "{}", []entry{
		dir("d"), regular("d/x", ""), regular("d/y", ""), regular("f", "1").mode(0o4755),
		symlink("l", "a\nb"), regular("p", ""), link("q", "p"),
	})
	got := b.image(t, gzipped, "{}", []entry{
		regular("f", "22").owner(1, 2).xattr("user.a", "\x00"),
		regular("l", "").of(tar.TypeChar, 1, 3), regular("p", ""), regular("q", ""),
	})
	lines := []string{
		`/d: want directory, mode 0755, owner 0:0, with 2 paths below it, got none`,
		`/f: want file of 1 bytes, content hash 6b86b273ff34, mode 4755, owner 0:0, ` +
			`got file of 2 bytes, content hash 785f3ec7eb32, mode 0644, owner 1:2, with user.a="\x00"`,
		`/l: want symbolic link to "a\nb", owner 0:0, got character device 1:3, mode 0644, owner 0:0`,
		`/p: want file of 0 bytes, content hash e3b0c44298fc, mode 0644, owner 0:0, one file by the names /p, /q, ` +
			`got file of 0 bytes, content hash e3b0c44298fc, mode 0644, owner 0:0`,
		"and 1 more", "",
	}
	found := compare(t, b, want, got, Options{BaseLayers: [2]int{1, 1}, Tree: true})
	if diff := cmp.Diff(strings.Join(lines, "\n"), List(found, 4)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// A layer is a letter of a word here, and makes a file of that name. Layers of other images never count.
func TestEachLayerIsReadOnce(t *testing.T) {
	cases := []struct {
		want, got string
		opened    int
		found     []string
	}{
		{"abcd", "abcd", 4, nil},
		{"abccd", "abccd", 5, nil}, // as often as it stands there
		{"abXcYd", "abZcYd", 7, []string{"/X", "/Z"}},
		{"abXcYd", "abZcTd", 8, []string{"/T", "/X", "/Y", "/Z"}},
		{"abd", "abXYd", 5, []string{"/X", "/Y"}},
		{"abXYd", "ab", 5, []string{"/X", "/Y", "/d"}},
		{"ab", "ba", 3, nil},
		{"", "ab", 2, []string{"/a", "/b"}},
	}
	for _, c := range cases {
		t.Run(c.want+" "+c.got, func(t *testing.T) {
			layers := func(word string) (list [][]entry) {
				for _, letter := range strings.Split(word, "") {
					list = append(list, []entry{regular(letter, "")})
				}
				return list
			}
			b := store()
			want, got := b.image(t, gzipped, "{}", layers(c.want)...), b.image(t, gzipped, "{}", layers(c.got)...)
			found := compare(t, b, want, got, Options{BaseLayers: [2]int{len(c.want), len(c.got)}, Tree: true})
			slices.SortFunc(found, func(x, y Difference) int { return strings.Compare(x.What, y.What) })
			if diff := cmp.Diff(c.found, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			opened := 0
			for _, n := range b.opened {
				opened += n
			}
			if opened != c.opened {
				t.Errorf("layers were opened %d times, want %d", opened, c.opened)
			}
		})
	}
}

// A file that only one of the agent layers has is named among those, and not again among the files of the whole tree.
func TestDifferencesAreNamedOnce(t *testing.T) {
	file := func(name string) Difference { return Difference{What: name} }
	left := withoutNamed([]Difference{file("/a"), file("/b"), file("/c")}, []Difference{file("/b"), file("/d")})
	if len(left) != 2 || left[0].What != "/a" || left[1].What != "/c" {
		t.Errorf("left: %v", left)
	}
}

// What both images have alike takes memory once: it is most of them.
func TestMemory(t *testing.T) {
	cases := []struct {
		name  string
		other int64 // how the modes of the second image's files differ
		most  int64 // bytes
	}{{"all paths equal", 0, 20 << 20}, {"no path equal", 1, 28 << 20}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			built := newTree(false)
			for side := range 2 {
				for i := range 100_000 {
					name := fmt.Sprintf("testbed/lib/python3.13/site-packages/package%d/module%d/file_%d.py", i/1000, i/10, i)
					e := regular(name, "").mode(0o644 + int64(side)*c.other)
					if err := built.add(e.full(), strings.NewReader(""), []place{{side, 0}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > c.most {
				t.Errorf("the tree takes %d bytes, want at most %d", grown, c.most)
			} else {
				t.Logf("the tree takes %d bytes", grown)
			}
			runtime.KeepAlive(built)
		})
	}
}
