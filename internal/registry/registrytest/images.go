package registrytest

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Base is a small base image of a benchmark: no two names have a layer in common.
func Base(name string) v1.Image {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return layered(img, "RUN base", "base/"+name, func(c *v1.ConfigFile) {
		c.OS, c.Architecture = "linux", "amd64"
		c.Config.Env, c.Config.Cmd = []string{"PATH=/usr/bin", "BASE=" + name}, []string{"bash"}
	})
}

// EvalBase is what the SDK's base-image-minimal makes of base for a commit. built tells one build from another: the layer
// of apt never comes out twice as the same.
func EvalBase(base v1.Image, sha, built string) v1.Image {
	return layered(base, "RUN apt", "apt/"+built, func(c *v1.ConfigFile) {
		c.Config.Env = append(c.Config.Env, "OPENHANDS_BUILD_GIT_SHA="+sha, "OPENHANDS_BUILD_GIT_REF=unknown")
		c.Config.User = "openhands"
	})
}

// Final is what the SDK's last stage makes of an eval-base. The agent's layer comes out the same for the same word; with
// ";again" behind a word, it has the same files with other times, as another builder makes it.
func Final(evalBase v1.Image, agent string) v1.Image {
	return layered(evalBase, "COPY agent", "agent-server/"+agent, func(c *v1.ConfigFile) {
		c.Config.Entrypoint, c.Config.Cmd = []string{"tini", "--", "/agent-server"}, nil
	})
}

// Configured is the image with another configuration.
func Configured(img v1.Image, change func(*v1.ConfigFile)) v1.Image {
	config := must(img.ConfigFile()).DeepCopy()
	change(config)
	return must(mutate.ConfigFile(img, config))
}

// layered puts one layer with one file on an image.
func layered(img v1.Image, step, path string, change func(*v1.ConfigFile)) v1.Image {
	var content bytes.Buffer
	path, again := strings.CutSuffix(path, ";again")
	times := time.Time{}
	if again {
		times = time.Unix(1, 0)
	}
	w := tar.NewWriter(&content)
	text := strings.Repeat(path, 3)
	if err := w.WriteHeader(&tar.Header{Name: path, Size: int64(len(text)), Mode: 0o644, ModTime: times}); err != nil {
		panic(err)
	}
	must(io.WriteString(w, text))
	if err := w.Close(); err != nil {
		panic(err)
	}
	layer := must(tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer)))
	img = must(mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{CreatedBy: step}}))
	return Configured(img, change)
}

// Push has hosts' registry take an image, as a builder would.
func Push(hosts http.RoundTripper, reference string, img v1.Image) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithTransport(hosts))
}

// Missing are the blobs that a repository's image does not have there although its manifest names them.
func (g *GitHub) Missing(repository string, img v1.Image) []string {
	manifest := must(img.Manifest())
	var missing []string
	for _, d := range append(slices.Clone(manifest.Layers), manifest.Config) {
		if !g.has(repository, d.Digest.String()) {
			missing = append(missing, d.Digest.String())
		}
	}
	return missing
}

// must is for what can only fail where the test itself is wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
