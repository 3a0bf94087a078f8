package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pulledImage is an image that stays in the registry until the test has read it.
func pulledImage(t *testing.T, reference string) v1.Image {
	t.Helper()
	found, err := crane.Pull(reference)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// deleteTags removes the tags of images from the registry. The manifests stay until the registry collects garbage.
func deleteTags(t *testing.T, lines ...line) {
	t.Helper()
	for _, l := range lines {
		for _, tag := range l.Tags {
			if err := crane.Delete(onHost(tag)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// layersOf returns the digests of the layers in an image's manifest.
func layersOf(t *testing.T, reference string) []string {
	t.Helper()
	manifest, err := pulledImage(t, reference).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digests := make([]string, len(manifest.Layers))
	for i, layer := range manifest.Layers {
		digests[i] = layer.Digest.String()
	}
	return digests
}

// complete reads every image in a repository and checks that it has all its blobs, with the sizes and digests in its
// manifest. It returns the number of tags. Digests in read are not read again.
func complete(t *testing.T, repo string, read map[string]bool) int {
	t.Helper()
	repository := lab["LAB_REGISTRY"] + "/" + repo
	tags, err := crane.ListTags(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		raw, err := crane.Manifest(repository + ":" + tag)
		if err != nil {
			t.Errorf("%s: %v", tag, err)
			continue
		}
		manifest, err := v1.ParseManifest(strings.NewReader(string(raw)))
		if err != nil || len(manifest.Layers) == 0 || manifest.Config.Digest.Hex == "" {
			t.Errorf("%s is on no image: %v, %s", tag, err, raw)
			continue
		}
		for _, part := range append(manifest.Layers, manifest.Config) {
			if name := part.Digest.String(); !read[name] {
				read[name] = true
				if err := readBlob(repository, part); err != nil {
					t.Errorf("%s is on an incomplete image: %v", tag, err)
				}
			}
		}
	}
	return len(tags)
}

// readBlob reads a blob to its end.
func readBlob(repository string, part v1.Descriptor) error {
	blob, err := crane.PullLayer(repository + "@" + part.Digest.String())
	if err != nil {
		return err
	}
	content, err := blob.Compressed()
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, content)
	if err == nil && (size != part.Size || hex.EncodeToString(sum.Sum(nil)) != part.Digest.Hex) {
		err = fmt.Errorf("%s has %d bytes with sha256 %x, want %d", part.Digest, size, sum.Sum(nil), part.Size)
	}
	return err
}

// files describes every path of an image: type, mode, owner, link and content, without times.
func files(t *testing.T, reference string) map[string]string {
	t.Helper()
	flat := mutate.Extract(pulledImage(t, reference))
	defer flat.Close()
	found := map[string]string{}
	for archive := tar.NewReader(flat); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, archive); err != nil {
			t.Fatal(err)
		}
		found[path.Clean("/"+header.Name)] = fmt.Sprintf("type %c, mode %o, owner %d:%d, link %q, sha256 %x",
			header.Typeflag, header.Mode, header.Uid, header.Gid, header.Linkname, sum.Sum(nil))
	}
}

// differences returns the paths at which two images differ, except those that hold a time or a place of the build. The
// list repeats that of internal/build/verify independently.
func differences(a, b map[string]string) (differ []string) {
	ofTheBuild := []string{
		"/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin", "/var/cache/ldconfig/aux-cache",
		"/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/dpkg.log", "/etc/shadow", "/etc/shadow-",
	}
	for name, in := range a {
		if b[name] != in && !slices.Contains(ofTheBuild, name) {
			differ = append(differ, fmt.Sprintf("%s: %s, and %s", name, in, b[name]))
		}
	}
	for name := range b {
		if a[name] == "" {
			differ = append(differ, name+" is in one alone")
		}
	}
	slices.Sort(differ)
	return differ
}

func baseImage(id string) string {
	name := strings.ReplaceAll(id, "__", "_1776_")
	return lab["LAB_REGISTRY"] + "/hub/swebench/sweb.eval.x86_64." + name + ":latest"
}

// addBase gives an instance the base image of another one until the test ends.
func addBase(t *testing.T, from, to string) {
	t.Helper()
	if err := crane.Copy(baseImage(from), baseImage(to)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		digest, err := crane.Digest(baseImage(to))
		if err == nil {
			err = crane.Delete(strings.TrimSuffix(baseImage(to), ":latest") + "@" + digest)
		}
		if err != nil {
			t.Errorf("removing the base image again: %v", err)
		}
	})
}

// entry is one path of a layer.
type entry struct {
	tar.Header
	content string
}

// addLayer gives an instance a base image of its own: that of another one, with these entries in a layer on top.
func addLayer(t *testing.T, from, to string, entries ...entry) {
	t.Helper()
	addBase(t, from, to)
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if err := out.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	layer := static.NewLayer(archive.Bytes(), types.DockerUncompressedLayer)
	odd, err := mutate.AppendLayers(pulledImage(t, baseImage(from)), layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Push(odd, baseImage(to)); err != nil {
		t.Fatal(err)
	}
}
