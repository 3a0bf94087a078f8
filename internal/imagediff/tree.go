package imagediff

import (
	"archive/tar"
	"io"
	"path"
	"strings"
	"unique"
)

// The names that layers remove things by (OCI image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh." // aufs' own records; one of them means something
	opaqueMarker   = ".wh..wh..opq"
)

// tree is the file tree of two images at once. Most paths are in both and equal, and take memory once: 100,000 paths
// take about 20 MB.
type tree struct {
	root node
	// lone says that the layers below are not at hand: removals are then kept as what they are.
	lone  bool
	links int32 // groups of hard links so far
	// normal gives what has to be equal of the content of the file at a path; nil is all of it.
	normal func(path string) normalizer
	buffer []byte
}

// node is one path in both images.
type node struct {
	children map[string]*node
	sides    [2]state
}

// state is what one image has at a path.
type state struct {
	file  *file // nil: nothing
	links int32 // the group of hard links that it is of; 0: none
	layer int32
}

func newTree(lone bool) *tree {
	return &tree{lone: lone, buffer: make([]byte, 32<<10), root: node{sides: [2]state{{file: implied}, {file: implied}}}}
}

// place is a layer's place in one image. A layer that both images have is put into both at once.
type place struct{ side, layer int }

// add puts one entry of a layer's tar stream into the images that have the layer.
func (t *tree) add(header *tar.Header, content io.Reader, in []place) error {
	name := path.Clean("/" + header.Name)
	dir, base := path.Split(name)
	if strings.HasPrefix(base, whiteoutPrefix) {
		t.remove(dir, base, in)
		return nil
	}
	if header.Typeflag == tar.TypeLink {
		t.link(name, path.Clean("/"+header.Linkname), in)
		return nil
	}
	var normal normalizer
	if t.normal != nil {
		normal = t.normal(name)
	}
	f, err := read(header, content, normal, t.buffer)
	if err != nil {
		return err
	}
	for _, p := range in {
		t.put(name, p, state{file: f})
	}
	return nil
}

// remove does what a whiteout says. It is about layers below alone, wherever in its own layer it stands.
func (t *tree) remove(dir, base string, in []place) {
	for _, p := range in {
		switch removed := path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix)); {
		case base == opaqueMarker:
			if n := t.find(dir, p.side); n != nil {
				n.hideChildren(p)
			}
			if t.lone {
				t.put(path.Join(dir, opaqueMarker), p, state{file: &file{meta: unique.Make(meta{kind: opaque})}})
			}
		case strings.HasPrefix(base, whiteoutMeta):
		default:
			n := t.find(removed, p.side)
			if n != nil {
				n.hide(p)
			}
			if t.lone && (n == nil || n.sides[p.side].file == nil) {
				t.put(removed, p, state{file: &file{meta: unique.Make(meta{kind: whiteout})}})
			}
		}
	}
}

// link puts a hard link. One to something that the layers at hand do not have stays what it is.
func (t *tree) link(name, target string, in []place) {
	for _, p := range in {
		n := t.find(target, p.side)
		if n == nil {
			t.put(name, p, state{file: &file{meta: unique.Make(meta{kind: loose, link: target})}})
			continue
		}
		to := &n.sides[p.side]
		if to.links == 0 {
			t.links++
			to.links = t.links
		}
		t.put(name, p, state{file: to.file, links: to.links})
	}
}

// put sets what an image has at a path. What is no directory loses what was below it; what is on the way and no
// directory becomes one, as in an overlay.
func (t *tree) put(name string, p place, s state) {
	s.layer = int32(p.layer)
	n := &t.root
	for component := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if component == "" {
			break
		}
		if up := &n.sides[p.side]; up.file == nil || up.file.kind() != tar.TypeDir {
			*up = state{file: implied, layer: s.layer}
		}
		n = n.child(component)
	}
	if s.file.kind() != tar.TypeDir {
		for _, c := range n.children {
			c.clear(p.side)
		}
	}
	if other := n.sides[1-p.side].file; other != nil && *other == *s.file {
		s.file = other
	}
	n.sides[p.side] = s
}

// find gives the node at a path, if that side has something there.
func (t *tree) find(name string, side int) *node {
	n := &t.root
	for component := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if component == "" {
			break
		}
		if n = n.children[component]; n == nil || n.sides[side].file == nil {
			return nil
		}
	}
	return n
}

func (n *node) child(name string) *node {
	c := n.children[name]
	if c == nil {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		c = &node{}
		n.children[strings.Clone(name)] = c // not the whole path, which the name is a part of
	}
	return c
}

// clear takes a path and all below it out of one image.
func (n *node) clear(side int) {
	n.sides[side] = state{}
	for _, c := range n.children {
		c.clear(side)
	}
}

// hide takes out of one image what lower layers have at a path.
func (n *node) hide(p place) {
	left := n.hideChildren(p)
	switch s := &n.sides[p.side]; {
	case s.file == nil || s.layer >= int32(p.layer):
	case left:
		*s = state{file: implied, layer: int32(p.layer)}
	default:
		*s = state{}
	}
}

// hideChildren does that below a path, and says whether something is left there.
func (n *node) hideChildren(p place) (left bool) {
	for _, c := range n.children {
		c.hide(p)
		left = left || c.sides[p.side].file != nil
	}
	return left
}
