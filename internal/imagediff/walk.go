package imagediff

import (
	"archive/tar"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// pathDiff is a path at which two images differ.
type pathDiff struct {
	path  string
	sides [2]state
	// below says how many paths the side that has a directory has in it, where the other side has none.
	below int
}

// content says that both have a regular file there, alike but for its content.
func (p pathDiff) content() bool {
	w, g := p.sides[want].file, p.sides[got].file
	return w != nil && g != nil && w.kind() == tar.TypeReg && w.meta == g.meta && *w != *g
}

// differences calls each for the paths at which the images differ, sorted. skip leaves a path out, but not those below.
func (t *tree) differences(skip func([2]state) bool, each func(pathDiff, names)) {
	links := t.linked()
	t.root.walk("/", func(name string, n *node) bool {
		p := pathDiff{path: name, sides: n.sides}
		w, g := n.sides[want].file, n.sides[got].file
		switch {
		case w == nil && g == nil:
			return false
		case skip != nil && skip(n.sides):
			return true
		case folder(w) != folder(g), w == nil, g == nil:
			p.below = max(n.count(want), n.count(got)) - 1
			each(p, links)
			return false
		case *w != *g || links.of(want, n.sides[want]) != links.of(got, n.sides[got]):
			each(p, links)
		}
		return true
	})
}

func folder(f *file) bool { return f != nil && f.kind() == tar.TypeDir }

// walk visits paths in the order of their names, and those below one when visit says so.
func (n *node) walk(name string, visit func(string, *node) bool) {
	if !visit(name, n) {
		return
	}
	for _, component := range slices.Sorted(maps.Keys(n.children)) {
		n.children[component].walk(path.Join(name, component), visit)
	}
}

// count says how many paths one image has here and below.
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

// names gives the paths of each group of hard links, sorted.
type names [2]map[int32][]string

// linked collects the groups: which of the paths is the link and which is the file depends on their order in a layer.
func (t *tree) linked() names {
	found := names{{}, {}}
	t.root.walk("/", func(name string, n *node) bool {
		for side, s := range n.sides {
			if s.links != 0 {
				found[side][s.links] = append(found[side][s.links], name)
			}
		}
		return true
	})
	return found
}

// of gives the paths of a file, where it has more than one.
func (n names) of(side int, s state) string {
	if paths := n[side][s.links]; s.links != 0 && len(paths) > 1 {
		return strings.Join(paths, ", ")
	}
	return ""
}

// describe makes a difference of a pathDiff.
func (p pathDiff) describe(links names) Difference {
	d := Difference{What: p.path}
	for side, text := range [2]*string{&d.Want, &d.Got} {
		s := p.sides[side]
		if s.file == nil {
			*text = missing
			continue
		}
		*text = s.file.String()
		if paths := links.of(side, s); paths != "" {
			*text += ", one file by the names " + short(paths)
		}
		if p.below > 0 && folder(s.file) {
			*text += fmt.Sprintf(", with %d paths below it", p.below)
		}
	}
	return d
}
