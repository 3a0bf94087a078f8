package imagediff

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// entry is one entry of a layer. name says what it is: a directory ends in a slash. What is not given is 0644 or 0755,
// root's.
type entry struct {
	name, content string
	header        tar.Header
}

func regular(name, content string) entry { return entry{name: name, content: content} }
func dir(name string) entry              { return entry{name: name + "/"} }

func link(name, target string) entry {
	return entry{name: name, header: tar.Header{Typeflag: tar.TypeLink, Linkname: target}}
}

func symlink(name, target string) entry {
	return entry{name: name, header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: target}}
}

func (e entry) mode(mode int64) entry { e.header.Mode = mode; return e }

func (e entry) owner(uid, gid int) entry {
	e.header.Uid, e.header.Gid = uid, gid
	return e
}

func (e entry) of(kind byte, major, minor int64) entry {
	e.header.Typeflag, e.header.Devmajor, e.header.Devminor = kind, major, minor
	return e
}

func (e entry) xattr(name, value string) entry {
	e.header.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return e
}

func (e entry) full() *tar.Header {
	h := e.header
	if h.Typeflag == tar.TypeXGlobalHeader {
		return &h
	}
	h.Name, h.Size = e.name, int64(len(e.content))
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir {
			h.Mode = 0o755
		}
	}
	return &h
}

// blobs is a registry's content, and how often each blob was opened.
type blobs struct {
	content map[string][]byte
	opened  map[string]int
}

func store() *blobs { return &blobs{map[string][]byte{}, map[string]int{}} }

func (b *blobs) OpenBlob(_ context.Context, _, digest string) (io.ReadCloser, error) {
	content, ok := b.content[digest]
	if !ok {
		return nil, errors.New("there is no such blob")
	}
	b.opened[digest]++
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (b *blobs) put(content []byte) string {
	digest := digestOf(content)
	b.content[digest] = content
	return digest
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// The media types that layers of a test have, and one that is none.
const (
	gzipped  = "application/vnd.oci.image.layer.v1.tar+gzip"
	zstandar = "application/vnd.oci.image.layer.v1.tar+zstd"
	plainTar = "application/vnd.docker.image.rootfs.diff.tar"
)

func compress(t *testing.T, mediaType string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch mediaType {
	case gzipped, "application/vnd.docker.image.rootfs.diff.tar.gzip":
		w = gzip.NewWriter(&b)
	case zstandar:
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	default:
		return content
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archive(t *testing.T, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(e.full()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image makes one of layers, with the config's other fields from config, a JSON object.
func (b *blobs) image(t *testing.T, mediaType, config string, layers ...[]entry) Image {
	t.Helper()
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(config), &fields); err != nil {
		t.Fatal(err)
	}
	diffIDs := []string{}
	descriptors := []map[string]any{}
	for _, entries := range layers {
		content := archive(t, entries)
		diffIDs = append(diffIDs, digestOf(content))
		descriptors = append(descriptors, map[string]any{"mediaType": mediaType, "digest": b.put(compress(t, mediaType, content))})
	}
	fields["rootfs"] = marshal(t, map[string]any{"type": "layers", "diff_ids": diffIDs})
	text := marshal(t, fields)
	config = b.put(text)
	return Image{Config: text, Manifest: marshal(t, map[string]any{"config": map[string]any{"digest": config}, "layers": descriptors})}
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// compare gives the differences of two images as their lines, shortened to what is named.
func compare(t *testing.T, b *blobs, w, g Image, o Options) []Difference {
	t.Helper()
	found, err := Compare(t.Context(), b, w, g, o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func whats(found []Difference) []string {
	var names []string
	for _, d := range found {
		names = append(names, d.What)
	}
	return names
}
