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

// Base returns a small base image of a benchmark. Images with different names share no layer.
func Base(name string) v1.Image {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return addLayer(img, "RUN base", "base/"+name, func(c *v1.ConfigFile) {
		c.OS, c.Architecture = "linux", "amd64"
		c.Config.Env, c.Config.Cmd = []string{"PATH=/usr/bin", "BASE=" + name}, []string{"bash"}
	})
}

// EvalBase returns the image that the SDK's stage base-image-minimal builds on base for a commit. build is part of the apt layer,
// which differs between any two builds.
func EvalBase(base v1.Image, sha, build string) v1.Image {
	return addLayer(base, "RUN apt", "apt/"+build, func(c *v1.ConfigFile) {
		c.Config.Env = append(c.Config.Env, "OPENHANDS_BUILD_GIT_SHA="+sha, "OPENHANDS_BUILD_GIT_REF=unknown")
		c.Config.User = "openhands"
	})
}

// Final returns the image that the SDK's last stage builds on an eval-base. The agent's layer depends on agent alone. If agent
// ends in ";again", the layer has the same files with other times, as from another builder.
func Final(evalBase v1.Image, agent string) v1.Image {
	return addLayer(evalBase, "COPY agent", "agent-server/"+agent, func(c *v1.ConfigFile) {
		c.Config.Entrypoint, c.Config.Cmd = []string{"tini", "--", "/agent-server"}, nil
	})
}

// WithConfig returns the image with a changed configuration.
func WithConfig(img v1.Image, change func(*v1.ConfigFile)) v1.Image {
	config := must(img.ConfigFile()).DeepCopy()
	change(config)
	return must(mutate.ConfigFile(img, config))
}

// addLayer adds a layer with one file to an image.
func addLayer(img v1.Image, step, path string, change func(*v1.ConfigFile)) v1.Image {
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
	return WithConfig(img, change)
}

// Push pushes an image to one of hosts, as a builder would.
func Push(hosts http.RoundTripper, reference string, img v1.Image) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithTransport(hosts))
}

// Missing returns the blobs that the manifest of an image names and the repository does not have.
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

// must panics on an error that only a mistake in the test can cause.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
