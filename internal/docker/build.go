package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
)

// stopTimeout is the time between SIGINT and SIGKILL for docker after a timeout or a cancel.
const stopTimeout = 2 * time.Second

// tailSize is how many bytes of a failed command's output go into the record. The log has all of it.
const tailSize = 4000

// Build runs `docker buildx build` with args for a Dockerfile. (The SDK runs its own builds.) It writes all output to the file at log,
// and ends the build if BuildKit prints nothing for stallTimeout. The error is a *failure.Error.
//
// dir is the folder of the build context, or empty for none. environ is the command's whole environment, with DOCKER_CONFIG and
// BUILDX_BUILDER. baseImage is the image that the Dockerfile builds on.
func Build(ctx context.Context, environ []string, log string, stallTimeout time.Duration, args []string, dir, dockerfile, baseImage string) error {
	file, err := logfile.Open(log)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &failure.Error{Class: failure.ClassDisk, Err: err}
	case err != nil:
		return &failure.Error{Class: failure.ClassUnknown, Err: err}
	}
	defer file.Close()
	args = append([]string{"buildx", "build", "--progress", "plain"}, args...)
	if dir != "" {
		args = append(args, "--file", "-", dir)
	} else {
		args = append(args, "-")
	}
	fmt.Fprintf(file, "[eval-images] docker %s <<EOF\n%sEOF\n", strings.Join(args, " "), dockerfile)
	before, _ := file.Seek(0, io.SeekEnd)
	ctx, output := logfile.NewOutput(ctx, file, stallTimeout)
	cmd := exec.CommandContext(ctx, "docker", args...)
	// An attestation would add an untagged package version for each image.
	cmd.Env = append(environ[:len(environ):len(environ)], "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	cmd.Stdin = strings.NewReader(dockerfile)
	cmd.Stdout, cmd.Stderr = output, output
	// The docker command starts buildx. In a group of its own, both get the signals: a surviving buildx could still push.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = stopTimeout // also for a grandchild that outlives docker and keeps its output open
	err = cmd.Run()
	interrupted := ctx.Err() != nil
	output.Close() // ends ctx, and writes the last line
	var exit *exec.ExitError
	switch {
	case interrupted:
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return Interrupted(ctx)
	case errors.As(err, &exit):
		tail := logfile.Tail(log, before, tailSize)
		err = fmt.Errorf("docker buildx build ended with %d: %s", exit.ExitCode(), logfile.LastLine(tail))
		return BuildFailure(exit.ExitCode(), tail, err, baseImage, nil)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return &failure.Error{Class: failure.ClassUnknown, Err: err}
	}
	return nil
}

// Interrupted returns the failure of a command whose ctx has ended: by image-timeout, by stall-timeout or by the cancel of the
// run.
func Interrupted(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, logfile.ErrStalled) {
		return &failure.Error{Class: failure.ClassStalled, Err: cause}
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("%w: %w", err, context.Cause(ctx))}
	}
	return &failure.Error{Class: failure.ClassTimeout, Err: context.Cause(ctx)}
}
