// Package engine is the lab's hand on the Docker Engine: its command line, the names that all parts of the lab agree on,
// and what every part needs: images in the lab's registry, containers on its network, and what is slow to make, cached.
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

// Names that parts, tests and the variables of `env` share. Ports are fixed, so that what a script was told stays true
// when the lab comes up again. The registry's alias ends in .local because go-containerregistry speaks plain http to
// such names.
const (
	Network        = "eval-images-lab"
	Builder        = "eval-images-lab"
	RegistryAlias  = "registry.local"
	RegistryInside = RegistryAlias + ":5000"
	Registry       = "127.0.0.1:15000"
	GitPort        = "127.0.0.1:15001"
)

// Socket is where the engine is when nothing says otherwise.
const Socket = "/var/run/docker.sock"

// Part is one real thing on loopback.
type Part struct {
	Name string
	// Up makes the part as it should be, from whatever state it is in, and does nothing, fast, when it already is. What
	// it writes to log is shown below the part's name.
	Up func(ctx context.Context, e *Engine, log io.Writer) error
	// Env gives the part's LAB_ variables, without looking whether it is up. It may be nil.
	Env func(e *Engine) (map[string]string, error)
}

// Engine is the Docker Engine that the lab runs on.
type Engine struct {
	Checkout string // the root of this repository
	Cache    string // what is slow to make, kept between runs
	Host     string // the engine's address, unix:///var/run/docker.sock
	Pulls    *bool  // whether images can be pulled here; nil before the first was tried
}

// New keeps the cache in the user's cache folder: XDG_CACHE_HOME, or ~/.cache.
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

// Lab gives a path below the lab's own folder in the checkout.
func (e *Engine) Lab(elements ...string) string {
	return filepath.Join(append([]string{e.Checkout, "internal", "lab"}, elements...)...)
}

// host asks the user's docker command, whose context may name another engine. The lab's own configuration has none.
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

// Docker runs the docker command line and writes everything it says to log; without a log its last lines are in the
// error.
func (e *Engine) Docker(ctx context.Context, log io.Writer, args ...string) error {
	_, err := Run(e.Command(ctx, args...), log)
	return err
}

// Output gives what the docker command line writes to its standard output, without surrounding blanks.
func (e *Engine) Output(ctx context.Context, args ...string) (string, error) {
	return Run(e.Command(ctx, args...), nil)
}

// Command prepares a docker command line: the user's own, on the lab's engine. Builds are classic, because BuildKit
// would go to a registry for images that stand under a local name only.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_BUILDKIT=0")
	// A killed docker run would leave its container behind; one that is interrupted passes the signal on.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Config is a private DOCKER_CONFIG: the lab's records of builders, and buildx itself where the host has none.
func (e *Engine) Config() string { return filepath.Join(e.Cache, "docker") }

// Buildx runs docker buildx with the lab's records.
func (e *Engine) Buildx(ctx context.Context, log io.Writer, args ...string) (string, error) {
	cmd := e.Command(ctx, append([]string{"buildx"}, args...)...)
	cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+e.Config(), "BUILDX_CONFIG=")
	return Run(cmd, log)
}
