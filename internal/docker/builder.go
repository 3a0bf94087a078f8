package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// RemoteName is the buildx record of a buildkitd given by address.
const RemoteName = "eval-images-remote"

const healthy = "check that the Docker Engine is healthy: docker info"

// bootWithin bounds the first contact with a builder, the start of its stopped container included.
const bootWithin = 90 * time.Second

// Buildx runs the docker command's buildx with one Docker configuration, where it keeps its records of builders.
type Buildx struct {
	// Environ is the commands' whole environment; it holds DOCKER_CONFIG.
	Environ []string
	// Log gets the commands' output.
	Log io.Writer
}

// Builder is a BuildKit that answers, by the name under which buildx knows it.
type Builder struct {
	Name string
	// Driver is buildx's: "docker-container" or "remote".
	Driver string
	// BuildKit is the version that the builder says of itself; empty where it says none.
	BuildKit string
}

// IsAddress tells a buildkitd's address from a builder's name.
func IsAddress(builder string) bool {
	return strings.HasPrefix(builder, "unix://") || strings.HasPrefix(builder, "tcp://")
}

// UseAddress makes the buildkitd at a unix:// or tcp:// address known to buildx. It needs no engine. The error is an
// *Unavailable.
func (b Buildx) UseAddress(ctx context.Context, address string) (Builder, error) {
	built, err := b.use(ctx, Builder{Name: RemoteName, Driver: "remote"}, address)
	if err != nil {
		return Builder{}, &Unavailable{Part: "the buildkitd at " + address, Err: err, hint: "check the address in " +
			"builder, and that this process can reach it: a container action sees the socket of a host only if it is mounted"}
	}
	return built, nil
}

// Adopt makes a docker-container builder that runs on the engine, for example setup-buildx-action's, known to buildx.
// It is adopted as it is, with its network, its configuration and its cache, and never removed: it is not ours. The
// error is an *Unavailable.
func (b Buildx) Adopt(ctx context.Context, e *Engine, name string) (Builder, error) {
	names, err := e.builders(ctx)
	if err != nil {
		return Builder{}, &Unavailable{Part: "the builder " + name, Err: err, hint: healthy}
	}
	// Asked first, because buildx would start a new privileged container for a name that it does not find.
	if !slices.Contains(names, name) {
		return Builder{}, &Unavailable{
			Part: fmt.Sprintf("the builder %q", name),
			Err:  errors.New("this engine has no container buildx_buildkit_" + name + firstNode),
			hint: "pass in builder the name output of docker/setup-buildx-action (driver docker-container); " + listed(names),
		}
	}
	adopted, err := b.use(ctx, Builder{Name: name, Driver: "docker-container"})
	if err != nil {
		return Builder{}, &Unavailable{Part: fmt.Sprintf("the builder %q", name), Err: err,
			hint: "look at its log: docker logs buildx_buildkit_" + name + firstNode}
	}
	return adopted, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "there is none on this engine now"
	}
	slices.Sort(names)
	return "there are now: " + strings.Join(names, ", ")
}

// use writes the builder's record and waits until it answers.
func (b Buildx) use(ctx context.Context, builder Builder, endpoint ...string) (Builder, error) {
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if _, err := b.run(ctx, createArgs(builder, endpoint...)); err != nil {
		return Builder{}, err
	}
	said, err := b.run(ctx, []string{"buildx", "inspect", "--bootstrap", builder.Name})
	if err != nil {
		return Builder{}, err
	}
	builder.BuildKit = field(said, "BuildKit version:")
	if problem := field(said, "Error:"); problem != "" {
		return Builder{}, errors.New(problem)
	}
	return builder, nil
}

func createArgs(b Builder, endpoint ...string) []string {
	return append([]string{"buildx", "create", "--name", b.Name, "--driver", b.Driver}, endpoint...)
}

// field reads the value after a label of buildx's plain output.
func field(said, label string) string {
	for line := range strings.Lines(said) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), label); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// run gives a docker command's standard output; its error ends with what the command said last.
func (b Buildx) run(ctx context.Context, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, problems bytes.Buffer
	cmd.Env = b.Environ
	cmd.Stdout = io.MultiWriter(&out, b.Log)
	cmd.Stderr = io.MultiWriter(&problems, b.Log)
	// A group of its own, so that the plugin that docker starts ends with it, and the signals of a terminal reach only us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("running docker %s: %w%s", strings.Join(args, " "), err, lastLine(problems.String()))
	}
	return out.String(), nil
}

func lastLine(said string) string {
	said = strings.TrimSpace(said)
	if i := strings.LastIndexByte(said, '\n'); i >= 0 {
		said = said[i+1:]
	}
	if said == "" {
		return ""
	}
	return ": " + said
}
