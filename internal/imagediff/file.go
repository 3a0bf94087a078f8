package imagediff

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unique"
)

// file is what is kept of one path: all that is compared but its hard links. Equal ones are == .
type file struct {
	meta unique.Handle[meta] // few are unlike each other
	size int64
	sum  [sha256.Size]byte // of the content; of what normal leaves of it where that is said
}

// meta is all but the content.
type meta struct {
	kind         byte  // tar's type flag, or one of the two below
	mode         int64 // permissions, set-uid, set-gid, sticky
	uid, gid     int
	link         string // of a symbolic link
	major, minor int64  // of a device
	xattrs       string // name=quoted value, sorted
}

// What a layer alone removes from layers below it, which are not at hand when only some layers are compared.
const (
	whiteout = 'w'
	opaque   = 'o'
	loose    = 'l' // a hard link to something below
)

// implied is a directory that no entry describes; unpackers make such ones.
var implied = &file{meta: unique.Make(meta{kind: tar.TypeDir, mode: 0o755})}

func (f *file) kind() byte { return f.meta.Value().kind }

// read makes a file of an entry. normal, when there is one, passes on of the content what has to be equal. buffer is for
// the content to pass through: one per file would be the most of all memory used.
func read(header *tar.Header, content io.Reader, normal normalizer, buffer []byte) (*file, error) {
	m := meta{kind: header.Typeflag, mode: header.Mode & 0o7777, uid: header.Uid, gid: header.Gid, xattrs: xattrs(header.PAXRecords)}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		m.kind = tar.TypeReg
		f := &file{meta: unique.Make(m), size: header.Size}
		return f, f.hash(content, normal, buffer)
	case tar.TypeSymlink:
		m.link, m.mode = header.Linkname, 0o777 // Linux has no other mode for them; packers write what they like.
	case tar.TypeChar, tar.TypeBlock:
		m.major, m.minor = header.Devmajor, header.Devminor
	case tar.TypeDir, tar.TypeFifo:
	default:
		return nil, fmt.Errorf("an entry of the unknown type %q", header.Typeflag)
	}
	return &file{meta: unique.Make(m)}, nil
}

func (f *file) hash(content io.Reader, normal normalizer, buffer []byte) error {
	if normal != nil {
		var err error
		if content, err = normal(content); err != nil {
			return err
		}
	}
	sum := sha256.New()
	// As a bare reader: one that can write itself would do so by a buffer of its own.
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{content}, buffer); err != nil {
		return err
	}
	sum.Sum(f.sum[:0])
	return nil
}

// xattrs gives a header's extended attributes, which tar has in PAX records of this name (Go, archive/tar).
func xattrs(records map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			lines = append(lines, fmt.Sprintf("%s=%q", name, records[key]))
		}
	}
	return strings.Join(lines, " ")
}

// kinds are the words for what is not a regular file.
var kinds = map[byte]string{
	tar.TypeDir: "directory", tar.TypeSymlink: "symbolic link", tar.TypeFifo: "named pipe", tar.TypeChar: "character device",
	tar.TypeBlock: "block device", whiteout: "removal of what is below", opaque: "removal of all that is below", loose: "hard link",
}

// String describes a file for people: enough to see what differs.
func (f *file) String() string {
	m := f.meta.Value()
	var b strings.Builder
	switch m.kind {
	case whiteout, opaque:
		return kinds[m.kind]
	case loose:
		return "hard link to " + short(m.link)
	case tar.TypeReg:
		fmt.Fprintf(&b, "file of %d bytes, content hash %x", f.size, f.sum[:6])
	case tar.TypeSymlink:
		fmt.Fprintf(&b, "%s to %s", kinds[m.kind], short(m.link))
	case tar.TypeChar, tar.TypeBlock:
		fmt.Fprintf(&b, "%s %d:%d", kinds[m.kind], m.major, m.minor)
	default:
		b.WriteString(kinds[m.kind])
	}
	if m.kind != tar.TypeSymlink {
		fmt.Fprintf(&b, ", mode %04o", m.mode)
	}
	fmt.Fprintf(&b, ", owner %d:%d", m.uid, m.gid)
	if m.xattrs != "" {
		fmt.Fprintf(&b, ", with %s", short(m.xattrs))
	}
	return b.String()
}
