package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
)

// Command returns what the docker command says of its version. The error is an *Unavailable.
func (b Buildx) Command(ctx context.Context) (string, error) {
	said, err := b.run(ctx, []string{"--version"})
	if err != nil {
		return "", unavailable("the docker command", err, engineHint)
	}
	return strings.TrimPrefix(strings.TrimSpace(said), "Docker version "), nil
}

// Version returns what the plugin buildx says of its version. The error is an *Unavailable.
func (b Buildx) Version(ctx context.Context) (string, error) {
	said, err := b.run(ctx, []string{"buildx", "version"})
	if err != nil {
		return "", unavailable("buildx", err, "run docker buildx version, and do what it says")
	}
	if words := strings.Fields(said); len(words) > 1 { // github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0
		return words[1], nil
	}
	return strings.TrimSpace(said), nil
}

// HasBuilder makes sure that the engine has the container of a builder. The error is an *Unavailable.
func (e *Engine) HasBuilder(ctx context.Context, name string) error {
	names, err := e.builders(ctx)
	if err != nil {
		return &Unavailable{Part: "the builder " + name, Err: err, hint: engineHint}
	}
	if slices.Contains(names, name) {
		return nil
	}
	return &Unavailable{
		Part: fmt.Sprintf("the builder %q", name),
		Err:  errors.New("this engine has no container buildx_buildkit_" + name + firstNode),
		hint: "pass in builder the name output of docker/setup-buildx-action (driver docker-container); " + availableBuilders(names),
	}
}

// HasImage reports whether the engine has one image under all of the tags.
func (e *Engine) HasImage(ctx context.Context, tags []string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id := ""
	for _, tag := range tags {
		found, err := e.api.ImageInspect(ctx, tag)
		switch {
		case cerrdefs.IsNotFound(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("inspecting %s: %w", tag, err)
		case id != "" && found.ID != id:
			return false, nil
		}
		id = found.ID
	}
	return id != "", nil
}

// Dial makes sure that something accepts connections at the unix:// or tcp:// address of a buildkitd. The error is an *Unavailable.
func Dial(ctx context.Context, address string) error {
	network, at, _ := strings.Cut(address, "://")
	conn, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, network, at)
	if err != nil {
		return &Unavailable{Part: "the buildkitd at " + address, Err: err, hint: addressHint}
	}
	return conn.Close()
}
