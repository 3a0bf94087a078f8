package imagediff

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"
	"unique"
)

// File names that remove something from the layers below (OCI image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh." // aufs' own records; one of them means something
	opaqueMarker   = ".wh..wh..opq"
)

// tree is the file tree of two images. Most paths are equal in both images, and take memory once: 100,000 paths take about
// 20 MB.
type tree struct {
	root node
	// partial reports that the layers below are not read, so that removals stay in the tree.
	partial bool
	links   int32 // groups of hard links so far
	entries int   // of all layers so far
	content int64 // bytes of all files so far
	// normal returns the normalizer for a path. Nil means that all content must be equal.
	normal func(path string) normalizer
	buffer []byte
}

// node is a path in both images.
type node struct {
	children map[string]*node
	sides    [2]pathEntry
}

// pathEntry is what one image has at a path.
type pathEntry struct {
	file  *file // nil: nothing
	links int32 // the group of hard links that it is of; 0: none
	layer int32
}

func newTree(partial bool) *tree {
	return &tree{partial: partial, buffer: make([]byte, 32<<10), root: node{sides: [2]pathEntry{{file: impliedDir}, {file: impliedDir}}}}
}

// place is the position of a layer in one image.
type place struct{ side, layer int }

// add adds an entry of a layer's tar stream to the images that contain the layer.
func (t *tree) add(header *tar.Header, content io.Reader, in []place) error {
	if err := t.checkLimits(header); err != nil {
		return err
	}
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
	f, err := readFile(header, content, normal, t.buffer)
	if err != nil {
		return err
	}
	for _, p := range in {
		t.put(name, p, pathEntry{file: f})
	}
	return nil
}

// Limits of what is compared. The largest images of a benchmark have 400,000 paths and 20 GB. Linux takes paths of up to 4096
// bytes.
const (
	maxPath    = 4096
	maxEntries = 4_000_000
	maxContent = 64 << 30
)

// checkLimits counts an entry, and returns an error when the layers have more than can be compared. A layer of a few kilobytes can
// hold a file of exabytes, or a path of a megabyte.
func (t *tree) checkLimits(header *tar.Header) error {
	t.entries++
	if header.Size > 0 && header.Size <= maxContent {
		t.content += header.Size
	}
	switch {
	case len(header.Name) > maxPath || len(header.Linkname) > maxPath:
		return fmt.Errorf("its path or link has more than %d bytes", maxPath)
	case t.entries > maxEntries:
		return fmt.Errorf("the layers have more than %d entries", maxEntries)
	case header.Size > maxContent || t.content > maxContent:
		return fmt.Errorf("the layers have files of more than %d GB", maxContent>>30)
	}
	return nil
}

// remove applies a whiteout. It only removes paths of layers below, wherever it is in its own layer.
func (t *tree) remove(dir, base string, in []place) {
	for _, p := range in {
		switch removed := path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix)); {
		case base == opaqueMarker:
			if n := t.find(dir, p.side); n != nil {
				n.hideChildren(p)
			}
			if t.partial {
				t.put(path.Join(dir, opaqueMarker), p, pathEntry{file: &file{meta: unique.Make(meta{kind: opaque})}})
			}
		case strings.HasPrefix(base, whiteoutMeta):
		default:
			n := t.find(removed, p.side)
			if n != nil {
				n.hide(p)
			}
			if t.partial && (n == nil || n.sides[p.side].file == nil) {
				t.put(removed, p, pathEntry{file: &file{meta: unique.Make(meta{kind: whiteout})}})
			}
		}
	}
}

// link adds a hard link. It stays a danglingLink if no layer in the tree contains its target.
func (t *tree) link(name, target string, in []place) {
	for _, p := range in {
		n := t.find(target, p.side)
		if n == nil {
			t.put(name, p, pathEntry{file: &file{meta: unique.Make(meta{kind: danglingLink, link: target})}})
			continue
		}
		to := &n.sides[p.side]
		if to.links == 0 {
			t.links++
			to.links = t.links
		}
		t.put(name, p, pathEntry{file: to.file, links: to.links})
	}
}

// put sets what an image has at a path. A new file that is no directory removes everything below the path. A parent that is
// no directory becomes one, as in an overlay file system.
func (t *tree) put(name string, p place, s pathEntry) {
	s.layer = int32(p.layer)
	n := &t.root
	for component := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if component == "" {
			break
		}
		if up := &n.sides[p.side]; up.file == nil || up.file.kind() != tar.TypeDir {
			*up = pathEntry{file: impliedDir, layer: s.layer}
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

// find returns the node at a path if the image has something there, or nil.
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
		n.children[strings.Clone(name)] = c // name is a substring that would keep the whole path in memory
	}
	return c
}

// clear removes a path and everything below it from one image.
func (n *node) clear(side int) {
	n.sides[side] = pathEntry{}
	for _, c := range n.children {
		c.clear(side)
	}
}

// hide removes what layers below have at a path from one image.
func (n *node) hide(p place) {
	left := n.hideChildren(p)
	switch s := &n.sides[p.side]; {
	case s.file == nil || s.layer >= int32(p.layer):
	case left:
		*s = pathEntry{file: impliedDir, layer: int32(p.layer)}
	default:
		*s = pathEntry{}
	}
}

// hideChildren hides everything below a path, and reports whether something remains there.
func (n *node) hideChildren(p place) (left bool) {
	for _, c := range n.children {
		c.hide(p)
		left = left || c.sides[p.side].file != nil
	}
	return left
}
