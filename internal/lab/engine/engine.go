// Package engine runs the docker command line for the lab. It holds the names that all parts share, and what every part
// needs: images in the lab's registry, containers on its network, and a cache.
package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Names that parts, tests and the variables of `env` share. Ports are fixed, so that they stay true when the lab comes
// up again. The registry's alias ends in .local because the action then tries plain http.
const (
	Network        = "eval-images-lab"
	Builder        = "eval-images-lab"
	RegistryAlias  = "registry.local"
	RegistryInside = RegistryAlias + ":5000"
	Registry       = "127.0.0.1:15000"
	GitPort        = "127.0.0.1:15001"
	Packages       = "eval-images-lab-packages" // a volume with uv's cache
)

// Socket is the engine's default address.
const Socket = "/var/run/docker.sock"

// Part is one real thing on loopback. Each package defines its own, and `up` runs all of them in order; a part is no
// type of its own because it has no state.
type Part struct {
	Name string
	// Up brings the part up from any state, and returns fast when it is up. Lines in log are shown below the part's
	// name.
	Up func(ctx context.Context, e *Engine, log io.Writer) error
	// Env returns the part's LAB_ variables, whether or not it is up. It may be nil.
	Env func(e *Engine) (map[string]string, error)
}

// Engine is the Docker Engine that the lab runs on.
type Engine struct {
	Checkout string // the root of this repository
	Cache    string // what is slow to make, kept between runs
	Host     string // the engine's address, unix:///var/run/docker.sock
	Pulls    *bool  // whether images can be pulled here; nil before the first was tried
}

// New uses the user's cache folder: XDG_CACHE_HOME, or ~/.cache.
func New(checkout string) (*Engine, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache folder: %w", err)
	}
	cache := filepath.Join(base, "eval-images-lab")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	return &Engine{Checkout: checkout, Cache: cache, Host: host()}, nil
}

// Lab returns a path below the lab's folder in the checkout.
func (e *Engine) Lab(elements ...string) string {
	return filepath.Join(append([]string{e.Checkout, "internal", "lab"}, elements...)...)
}

// host asks the user's docker command, because the lab's own configuration has no contexts.
func host() string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	host, err := Run(exec.Command("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"), nil)
	if err != nil || host == "" {
		return "unix://" + Socket // docker is not installed yet
	}
	return host
}

// Docker runs the docker command line and writes its output to log; without a log the error has the last lines.
func (e *Engine) Docker(ctx context.Context, log io.Writer, args ...string) error {
	_, err := Run(e.Command(ctx, args...), log)
	return err
}

// Output returns the standard output of the docker command line, without surrounding blanks.
func (e *Engine) Output(ctx context.Context, args ...string) (string, error) {
	return Run(e.Command(ctx, args...), nil)
}

// Command prepares a docker command line on the lab's engine. Builds use the classic builder, because BuildKit would
// look in a registry for images that exist only under a local name.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_BUILDKIT=0")
	// A killed docker run would leave its container behind. An interrupted one forwards the signal.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Config is a private DOCKER_CONFIG with the lab's builders, and buildx where the host has none.
func (e *Engine) Config() string { return filepath.Join(e.Cache, "docker") }

// Buildx runs docker buildx with the lab's builders.
func (e *Engine) Buildx(ctx context.Context, log io.Writer, args ...string) (string, error) {
	cmd := e.Command(ctx, append([]string{"buildx"}, args...)...)
	cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+e.Config(), "BUILDX_CONFIG=")
	return Run(cmd, log)
}
