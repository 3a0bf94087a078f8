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

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
)

// RemoteName is buildx's name for a buildkitd at an address.
const RemoteName = "eval-images-remote"

const addressHint = "check the address in builder, and that this process can reach it: a container action sees the socket of a host " +
	"only if it is mounted"

const engineHint = "check that the Docker Engine is healthy: docker info"

// bootTimeout bounds the first contact with a builder. This includes the start of a stopped container.
const bootTimeout = 90 * time.Second

// Buildx runs `docker buildx` with one Docker configuration, in which buildx stores its builders.
type Buildx struct {
	// Environ is the whole environment of the commands, with DOCKER_CONFIG.
	Environ []string
	// Log gets the commands' output.
	Log io.Writer
}

// Builder is a builder that has answered.
type Builder struct {
	Name string
	// Driver is buildx's driver: "docker-container" or "remote".
	Driver string
	// BuildKit is the version that the builder reports. It may be empty.
	BuildKit string
	// environ is the environment of the container that buildx creates.
	environ []string
}

// IsAddress reports whether builder is the address of a buildkitd, not a builder's name.
func IsAddress(builder string) bool {
	return strings.HasPrefix(builder, "unix://") || strings.HasPrefix(builder, "tcp://")
}

// UseAddress adds the buildkitd at a unix:// or tcp:// address to buildx. It needs no engine. The error is an *Unavailable.
func (b Buildx) UseAddress(ctx context.Context, address string) (Builder, error) {
	built, err := b.use(ctx, Builder{Name: RemoteName, Driver: "remote"}, address)
	if err != nil {
		return Builder{}, unavailable("the buildkitd at "+address, err, addressHint)
	}
	return built, nil
}

// Adopt adds an existing docker-container builder of the engine to buildx, for example one of setup-buildx-action. The
// builder keeps its network, its configuration and its cache. It is not this run's own, so nothing removes it. The error is
// an *Unavailable.
func (b Buildx) Adopt(ctx context.Context, e *Engine, name string) (Builder, error) {
	// buildx would start a new privileged container if it did not find the name.
	if err := e.HasBuilder(ctx, name); err != nil {
		return Builder{}, err
	}
	adopted, err := b.use(ctx, Builder{Name: name, Driver: "docker-container"}, "--driver-opt", "image="+neverPulled)
	if err != nil {
		return Builder{}, unavailable(fmt.Sprintf("the builder %q", name), err, "look at its log: docker logs buildx_buildkit_"+name+firstNode)
	}
	return adopted, nil
}

// unavailable returns the error of a builder that could not be used.
func unavailable(part string, err error, hint string) *Unavailable {
	switch {
	case errors.Is(err, errPlatform):
		hint = failure.Hint(failure.ClassPlatform)
	case errors.Is(err, exec.ErrNotFound):
		hint = "install the docker command with its plugin buildx (docs.docker.com/engine/install), and check that PATH has its folder"
	case errors.Is(err, errNoBuildx):
		hint = "install buildx (package docker-buildx-plugin or docker-buildx), or run docker/setup-buildx-action before this step; " +
			"docker buildx version shows whether docker finds it"
	}
	return &Unavailable{Part: part, Err: err, hint: hint}
}

// neverPulled is the image that buildx would make an adopted builder's container from, were that removed during the run: none,
// by a top-level domain that cannot exist (RFC 2606). buildx would make a privileged container from its default image, on
// another network and without the builder's configuration, and later runs would adopt that (docker/buildx,
// driver/docker-container: Bootstrap). We look for the container before each build; this holds between look and build, too.
const neverPulled = "eval-images.invalid/adopted-builders-are-never-made"

func availableBuilders(names []string) string {
	if len(names) == 0 {
		return "this engine has none"
	}
	slices.Sort(names)
	return "this engine has: " + strings.Join(names, ", ")
}

// use creates buildx's record of the builder and waits until the builder answers.
func (b Buildx) use(ctx context.Context, builder Builder, endpoint ...string) (Builder, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if _, err := b.run(ctx, createArgs(builder, endpoint...)); err != nil {
		return Builder{}, err
	}
	if err := b.setEnviron(builder); err != nil {
		return Builder{}, err
	}
	return b.boot(ctx, builder)
}

// boot waits until a builder that buildx knows answers. It starts a container that is stopped, and makes one that is missing.
func (b Buildx) boot(ctx context.Context, builder Builder) (Builder, error) {
	output, err := b.run(ctx, []string{"buildx", "inspect", "--bootstrap", builder.Name})
	if err != nil {
		return Builder{}, err
	}
	builder.BuildKit = field(output, "BuildKit version:")
	if problem := field(output, "Error:"); problem != "" {
		return Builder{}, errors.New(problem)
	}
	// BuildKit lists what it can emulate, too. A step of another architecture would fail with "exec format error".
	if runs := field(output, "Platforms:"); runs != "" && !strings.Contains(runs, platform) {
		return Builder{}, fmt.Errorf("%w: it runs %s", errPlatform, runs)
	}
	return builder, nil
}

// platform is that of all base images.
const platform = "linux/amd64"

var errPlatform = errors.New("it does not run " + platform)

var errNoBuildx = errors.New("this docker command has no plugin buildx")

// lacksBuildx reports whether docker took buildx for an argument of its own, as it does without the plugin: it points to its
// own help (docker/cli, cli/cobra.go: FlagErrorFunc), while the plugin points to docker buildx COMMAND --help.
func lacksBuildx(problems string) bool {
	return strings.Contains(problems, "'docker --help'") || strings.Contains(problems, "'buildx' is not a docker command")
}

func createArgs(b Builder, endpoint ...string) []string {
	return append([]string{"buildx", "create", "--name", b.Name, "--driver", b.Driver}, endpoint...)
}

// field returns the value after a label in buildx's plain output.
func field(output, label string) string {
	for line := range strings.Lines(output) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), label); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// run returns the standard output of a docker command. The error ends with the last line of standard error.
func (b Buildx) run(ctx context.Context, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, problems bytes.Buffer
	cmd.Env = b.Environ
	cmd.Stdout = io.MultiWriter(&out, b.Log)
	cmd.Stderr = io.MultiWriter(&problems, b.Log)
	// In a group of its own, the command and the plugin that it starts end together, and get no signals of the terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if lacksBuildx(problems.String()) {
			err = fmt.Errorf("%w: %w", err, errNoBuildx)
		} else if line := logfile.LastLine(problems.String()); line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
		return "", fmt.Errorf("running docker %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}
