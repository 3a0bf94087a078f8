package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// Buildx runs builds that are not the SDK's, of a Dockerfile without a context.
type Buildx struct {
	// Environ is the docker command's whole environment; DOCKER_CONFIG and BUILDX_BUILDER in it say how to build.
	Environ []string
	// Ready, if set, makes sure of the builder before the first build that needs it.
	Ready func(context.Context) error
}

// grace is how long docker has between SIGINT and SIGKILL when the image's time is over or the run is cancelled.
const grace = 2 * time.Second

// Build builds recipe by `docker buildx build` with args and a last one for standard input, with all output in the file
// at log. Of a failed command the error is an *sdk.BuildFailure, as it is when the SDK's own docker command fails, so
// that both are classified alike; else it is ctx's cause.
func (b Buildx) Build(ctx context.Context, log string, args []string, recipe string) error {
	if b.Ready != nil {
		if err := b.Ready(ctx); err != nil {
			return err
		}
	}
	file, err := openLog(log)
	if err != nil {
		return err
	}
	defer file.Close()
	args = append(append([]string{"buildx", "build", "--progress", "plain"}, args...), "-")
	fmt.Fprintf(file, "[eval-images] docker %s <<EOF\n%sEOF\n", strings.Join(args, " "), recipe)
	before, _ := file.Seek(0, io.SeekEnd)
	cmd := exec.CommandContext(ctx, "docker", args...)
	// An attestation is one more untagged package version for each image.
	cmd.Env = append(b.Environ[:len(b.Environ):len(b.Environ)], "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	cmd.Stdin = strings.NewReader(recipe)
	cmd.Stdout, cmd.Stderr = file, file // A file, so that no grandchild that holds it can keep Wait from ending.
	// A group of its own: the docker command starts buildx, and one that lives on would push, unseen.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return Ended(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &sdk.BuildFailure{ReturnCode: exit.ExitCode(), Command: append([]string{"docker"}, args...), Tail: sdk.TailFrom(log, before, tailSize)}
	}
	return err
}

// Classified says in the words of the build package why Build failed. base is the image that was built upon.
func Classified(err error, base string) error {
	var known *build.Error
	var failed *sdk.BuildFailure
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &failed):
		return CommandFailed(failed, err, base, nil)
	case errors.Is(err, sdk.ErrTimeout):
		return &build.Error{Class: build.ClassTimeout, Err: err}
	case errors.Is(err, context.Canceled):
		return &build.Error{Class: build.ClassCancelled, Err: err}
	default:
		return &build.Error{Class: build.ClassUnknown, Err: err}
	}
}

// Ended is why ctx has ended: image-timeout, or the cancel with its cause.
func Ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// Note adds a line of our own to an image's log. That the log cannot be written is the build's to say, which needs it
// more.
func Note(log, text string) {
	if file, err := openLog(log); err == nil {
		defer file.Close()
		fmt.Fprintf(file, "[eval-images] %s\n", text)
	}
}

// openLog opens an image's log for appending.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the image's log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the image's log: %w", err)
	}
	return log, nil
}

// tailSize is how much of a failed command's output goes into the record, in bytes; the log has all of it.
const tailSize = 4000
