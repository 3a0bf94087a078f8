package imagediff

import (
	"archive/tar"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// pathDiff is a path where two images differ.
type pathDiff struct {
	path  string
	sides [2]pathEntry
	// below counts the paths in a directory that only one image has.
	below int
}

// content reports whether both have a regular file there that differs only in content.
func (p pathDiff) content() bool {
	w, g := p.sides[want].file, p.sides[got].file
	return w != nil && g != nil && w.kind() == tar.TypeReg && w.meta == g.meta && *w != *g
}

// differences calls each for every path where the images differ, sorted. If skip returns true, a path is omitted, but not the
// paths below it.
func (t *tree) differences(skip func([2]pathEntry) bool, each func(pathDiff, hardlinks)) {
	links := t.hardlinkGroups()
	t.root.walk("/", func(name string, n *node) bool {
		p := pathDiff{path: name, sides: n.sides}
		w, g := n.sides[want].file, n.sides[got].file
		switch {
		case w == nil && g == nil:
			return false
		case skip != nil && skip(n.sides):
			return true
		case isDir(w) != isDir(g), w == nil, g == nil:
			p.below = max(n.count(want), n.count(got)) - 1
			each(p, links)
			return false
		case *w != *g || links.paths(want, n.sides[want]) != links.paths(got, n.sides[got]):
			each(p, links)
		}
		return true
	})
}

func isDir(f *file) bool { return f != nil && f.kind() == tar.TypeDir }

// walk visits paths in sorted order. If visit returns false, it skips the paths below.
func (n *node) walk(name string, visit func(string, *node) bool) {
	if !visit(name, n) {
		return
	}
	for _, component := range slices.Sorted(maps.Keys(n.children)) {
		n.children[component].walk(path.Join(name, component), visit)
	}
}

// count returns how many paths one image has here and below.
func (n *node) count(side int) int {
	if n.sides[side].file == nil {
		return 0
	}
	sum := 1
	for _, c := range n.children {
		sum += c.count(side)
	}
	return sum
}

// hardlinks holds the sorted paths of each group of hard links that has more than one.
type hardlinks [2]map[int32]string

// hardlinkGroups collects the groups. Which path of a group is the link and which is the file depends on their order in the
// layer, so it is not compared.
func (t *tree) hardlinkGroups() hardlinks {
	groups := [2]map[int32][]string{{}, {}}
	t.root.walk("/", func(name string, n *node) bool {
		for side, s := range n.sides {
			if s.links != 0 {
				groups[side][s.links] = append(groups[side][s.links], name)
			}
		}
		return true
	})
	found := hardlinks{{}, {}}
	for side, paths := range groups {
		for group, names := range paths {
			if len(names) > 1 {
				found[side][group] = strings.Join(names, ", ")
			}
		}
	}
	return found
}

// paths returns all paths of a file if it has more than one, or "".
func (n hardlinks) paths(side int, s pathEntry) string { return n[side][s.links] }

// describe turns a pathDiff into a Difference.
func (p pathDiff) describe(links hardlinks) Difference {
	d := Difference{What: p.path}
	for side, text := range [2]*string{&d.Want, &d.Got} {
		s := p.sides[side]
		if s.file == nil {
			*text = missing
			continue
		}
		*text = s.file.String()
		if paths := links.paths(side, s); paths != "" {
			*text += ", one file by the names " + abbreviate(paths)
		}
		if p.below > 0 && isDir(s.file) {
			*text += fmt.Sprintf(", with %d paths below it", p.below)
		}
	}
	return d
}
