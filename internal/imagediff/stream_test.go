package imagediff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var fixedTime = time.Unix(1_700_000_000, 0)

func TestMediaTypes(t *testing.T) {
	entries := []entry{regular("a", strings.Repeat("1", 100_000))}
	for _, mediaType := range []string{
		gzipped, zstandar, plainTar, "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	} {
		t.Run(mediaType, func(t *testing.T) {
			b := store()
			want := b.image(t, gzipped, "{}", entries, []entry{regular("c", "")})
			got := b.image(t, mediaType, "{}", entries, []entry{regular("b", "")})
			if strings.HasSuffix(mediaType, "nondistributable.v1.tar+gzip") {
				got = b.image(t, gzipped, "{}", entries, []entry{regular("b", "")})
				got.Manifest = bytes.ReplaceAll(got.Manifest, []byte(gzipped), []byte(mediaType))
			}
			found := compare(t, b, want, got, Options{BaseLayers: [2]int{2, 2}, Tree: true})
			if diff := cmp.Diff([]string{"/b", "/c"}, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

// verifying is a source that finds at the end of each blob that it is not the one asked for.
type verifying struct{ *blobs }

type notIt struct{ io.ReadCloser }

var errOtherDigest = errors.New("another digest")

func (n notIt) Read(p []byte) (int, error) {
	count, err := n.ReadCloser.Read(p)
	if err == io.EOF {
		err = errOtherDigest
	}
	return count, err
}

func (v verifying) OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error) {
	blob, err := v.blobs.OpenBlob(ctx, repository, digest)
	return notIt{blob}, err
}

func TestBlobsAreReadToTheirEnd(t *testing.T) {
	for _, mediaType := range []string{gzipped, zstandar, plainTar} {
		t.Run(mediaType, func(t *testing.T) {
			b := store()
			image := b.image(t, mediaType, "{}", []entry{regular("a", "1")})
			if _, err := Compare(t.Context(), verifying{b}, image, image, Options{Tree: true}); !errors.Is(err, errOtherDigest) {
				t.Errorf("error is %v, want that of the blob's end", err)
			}
		})
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	b := store()
	fine := b.image(t, gzipped, "{}", []entry{regular("a", "1")})
	replaced := func(old, with string) Image {
		broken := fine
		broken.Manifest = bytes.ReplaceAll(fine.Manifest, []byte(old), []byte(with))
		return broken
	}
	cut := store()
	cut.content = map[string][]byte{}
	for digest, content := range b.content {
		cut.content[digest] = content[:len(content)-9]
	}
	cases := []struct {
		name  string
		src   *blobs
		image Image
		base  int
		want  string
	}{
		{"another media type", b, replaced("tar+gzip", "tar+gzip+encrypted"), 1, `none of gzip, zstd or tar`},
		{"not what it says", b, replaced("tar+gzip", "tar+zstd"), 1, "reading layer sha256:"},
		{"a blob that is not there", store(), fine, 1, "there is no such blob"},
		{"a blob that ends early", cut, fine, 1, "unexpected EOF"},
		{
			"an index", b,
			Image{Repository: "r/i", Manifest: []byte(`{"manifests":[]}`)},
			0,
			"reading the given image in r/i: the manifest has no config",
		},
		{"another image's config", b, Image{Manifest: fine.Manifest, Config: []byte("{}")}, 0, "the manifest names the config sha256:"},
		{"more base layers than there are", b, fine, 2, "2 layers below the agent layers, but the image has only 1"},
		{"fewer DiffIDs than layers", b, replaced(`"layers":[`, `"layers":[{},`), 0, "the config states 1 DiffIDs for 2 layers"},
	}
	want := b.image(t, plainTar, "{}")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compare(t.Context(), c.src, want, c.image, Options{BaseLayers: [2]int{0, c.base}, Tree: true})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

// The config of a rebased image is written by hand, and an engine refuses one whose DiffIDs are not its layers'.
func TestStatedContent(t *testing.T) {
	b := store()
	layers := [][]entry{{regular("a", "1")}, {regular("b", "1")}}
	want := b.image(t, gzipped, "{}", layers...)
	stated := func(change func([]string)) Image {
		ids := []string{digestOf(archive(t, layers[0])), digestOf(archive(t, layers[1]))}
		change(ids)
		config := marshal(t, map[string]any{"rootfs": map[string]any{"diff_ids": ids}})
		return Image{Config: config, Manifest: bytes.ReplaceAll(want.Manifest, []byte(digestOf(want.Config)), []byte(b.put(config)))}
	}
	cases := []struct {
		name    string
		image   Image
		options Options
		found   []string
	}{
		{"as it is", stated(func([]string) {}), Options{Tree: true}, nil},
		{
			"the base's", stated(func(ids []string) { ids[0] = "sha256:0" }),
			Options{Tree: true},
			[]string{"config DiffID of given layer 1 against its content"},
		},
		{"the agent's", stated(func(ids []string) { ids[1] = "sha256:0" }), Options{}, []string{"config DiffID of agent layer 1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.options.BaseLayers = [2]int{1, 1}
			if diff := cmp.Diff(c.found, whats(compare(t, b, want, c.image, c.options))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}
