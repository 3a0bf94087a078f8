package engine

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// ImageKey returns the key (see Label) of a local image, or "" for an image that the lab did not make.
func (e *Engine) ImageKey(ctx context.Context, image string) (key string, found bool, err error) {
	const format = `{{with .Config.Labels}}{{index . "` + Label + `"}}{{end}}`
	key, err = e.Output(ctx, "image", "inspect", "--format", format, image)
	if err != nil && strings.Contains(strings.ToLower(err.Error()), "no such image") {
		return "", false, nil
	}
	return key, err == nil, err
}

// Build builds and tags the image of a folder with a Dockerfile. Options are those of docker build. Its output is shown
// only when it fails.
func (e *Engine) Build(ctx context.Context, log io.Writer, dir, tag string, options ...string) error {
	begin := time.Now()
	args := append([]string{"build", "--quiet", "--tag", tag}, options...)
	if _, err := e.Output(ctx, append(args, dir)...); err != nil {
		return fmt.Errorf("building %s: %w", tag, err)
	}
	fmt.Fprintf(log, "built %s in %.1f s\n", tag, time.Since(begin).Seconds())
	return nil
}

// Mirrored returns where the lab's registry mirrors an image of Docker Hub or ghcr.io: hub/library/python:3.13 for
// docker.io/library/python:3.13.
func Mirrored(image string) (string, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", fmt.Errorf("parsing image name %q: %w", image, err)
	}
	switch repository := ref.Context(); repository.RegistryStr() {
	case name.DefaultRegistry:
		return "hub/" + repository.RepositoryStr() + ":" + ref.Identifier(), nil
	case "ghcr.io":
		return "ghcr/" + repository.RepositoryStr() + ":" + ref.Identifier(), nil
	default:
		return "", fmt.Errorf("mirroring %s: the lab mirrors docker.io and ghcr.io only", image)
	}
}

// Push pushes a local image to the lab's registry under a name such as hub/library/python:3.13, unless it is there.
func (e *Engine) Push(ctx context.Context, log io.Writer, image, to string) error {
	there, err := e.pushed(ctx, image, to)
	if err != nil || there {
		return err
	}
	full := Registry + "/" + to
	if _, err := e.Output(ctx, "tag", image, full); err != nil {
		return err
	}
	// The tag is needed for the push only; a failed removal does no harm.
	defer e.Output(context.WithoutCancel(ctx), "rmi", "--no-prune", full)
	if _, err := e.Output(ctx, "push", full); err != nil {
		return fmt.Errorf("pushing %s: %w", to, err)
	}
	fmt.Fprintln(log, "pushed", to)
	return nil
}

// pushed compares ids. An engine's image id is the digest of the config or, with containerd's image store, of the
// manifest.
func (e *Engine) pushed(ctx context.Context, image, to string) (bool, error) {
	id, err := e.Output(ctx, "image", "inspect", "--format", "{{.Id}}", image)
	if err != nil {
		return false, err
	}
	ref, err := name.ParseReference(Registry + "/" + to)
	if err != nil {
		return false, fmt.Errorf("parsing image name %q: %w", to, err)
	}
	there, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return false, nil // absent or broken: pushing tells
	}
	manifest, err := there.Manifest()
	if err != nil {
		return false, nil
	}
	digest, err := there.Digest()
	return err == nil && (digest.String() == id || manifest.Config.Digest.String() == id), nil
}
