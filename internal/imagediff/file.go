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

// file is everything that is compared about one path, except its hard links. Equal files are ==.
type file struct {
	// meta is a handle to save memory, because most files share the same meta.
	meta unique.Handle[meta]
	size int64
	sum  [sha256.Size]byte // of the content, or of what normal returns
}

// meta is everything but the content.
type meta struct {
	kind         byte  // tar's type flag, or whiteout, opaque or danglingLink
	mode         int64 // permissions, set-uid, set-gid, sticky
	uid, gid     int
	link         string // of a symbolic link
	major, minor int64  // of a device
	xattrs       string // name=quoted value, sorted
}

// Kinds for removals and links that concern layers below, when only the upper layers are compared.
const (
	whiteout     = 'w'
	opaque       = 'o'
	danglingLink = 'l' // a hard link to something below
)

// impliedDir is a directory without an entry in the layer. Unpackers create it.
var impliedDir = &file{meta: unique.Make(meta{kind: tar.TypeDir, mode: 0o755})}

func (f *file) kind() byte { return f.meta.Value().kind }

// readFile reads an entry of a tar stream. If normal is not nil, it hashes only what normal returns. buffer is for copying the
// content: a buffer for each file would take most of the memory.
func readFile(header *tar.Header, content io.Reader, normal normalizer, buffer []byte) (*file, error) {
	m := meta{kind: header.Typeflag, mode: header.Mode & 0o7777, uid: header.Uid, gid: header.Gid, xattrs: xattrs(header.PAXRecords)}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		m.kind = tar.TypeReg
		f := &file{meta: unique.Make(m), size: header.Size}
		return f, f.hash(content, normal, buffer)
	case tar.TypeSymlink:
		m.link, m.mode = header.Linkname, 0o777 // Linux knows no other mode, but packers write any.
	case tar.TypeChar, tar.TypeBlock:
		m.major, m.minor = header.Devmajor, header.Devminor
	case tar.TypeDir, tar.TypeFifo:
	default:
		return nil, fmt.Errorf("unknown type %q of an entry", header.Typeflag)
	}
	return &file{meta: unique.Make(m)}, nil
}

func (f *file) hash(content io.Reader, normal normalizer, buffer []byte) error {
	if normal != nil && f.size <= maxNormalized {
		var err error
		if content, err = normal(content); err != nil {
			return err
		}
	}
	sum := sha256.New()
	// The wrapper hides WriteTo, which would use a buffer of its own.
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{content}, buffer); err != nil {
		return err
	}
	sum.Sum(f.sum[:0])
	return nil
}

// maxNormalized is the size of the largest file of which a part may differ, in bytes: a normalizer may hold it in memory.
const maxNormalized = 16 << 20

// maxXattrs is how many bytes of extended attributes are kept for a file. Of more, a hash is kept.
const maxXattrs = 4 << 10

// xattrs returns the extended attributes in a header. tar stores them in PAX records of this name (Go, archive/tar).
func xattrs(records map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			lines = append(lines, fmt.Sprintf("%s=%q", name, records[key]))
		}
	}
	all := strings.Join(lines, " ")
	if len(all) > maxXattrs {
		return fmt.Sprintf("extended attributes of %d bytes, hash %x", len(all), sha256.Sum256([]byte(all)))
	}
	return all
}

// kinds names everything but regular files.
var kinds = map[byte]string{
	tar.TypeDir: "directory", tar.TypeSymlink: "symbolic link", tar.TypeFifo: "named pipe", tar.TypeChar: "character device",
	tar.TypeBlock: "block device", whiteout: "removal of what is below", opaque: "removal of all that is below", danglingLink: "hard link",
}

// String describes a file for people, with everything that may differ.
func (f *file) String() string {
	m := f.meta.Value()
	var b strings.Builder
	switch m.kind {
	case whiteout, opaque:
		return kinds[m.kind]
	case danglingLink:
		return "hard link to " + abbreviate(m.link)
	case tar.TypeReg:
		fmt.Fprintf(&b, "file of %d bytes, content hash %x", f.size, f.sum[:6])
	case tar.TypeSymlink:
		fmt.Fprintf(&b, "%s to %s", kinds[m.kind], abbreviate(m.link))
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
		fmt.Fprintf(&b, ", with %s", abbreviate(m.xattrs))
	}
	return b.String()
}
