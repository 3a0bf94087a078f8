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

// grace is how long docker has between SIGINT and SIGKILL when the image's time is over or the run is cancelled.
const grace = 2 * time.Second

// tailSize is how much of a failed command's output goes into the record, in bytes; the log has all of it.
const tailSize = 4000

// Build runs `docker buildx build` with args on a Dockerfile without a context, for builds that are not the SDK's. All output
// goes to the file at log. environ is the command's whole environment; DOCKER_CONFIG and BUILDX_BUILDER in it say how to
// build. baseImage is the image that the Dockerfile builds on. The error is a *failure.Error.
func Build(ctx context.Context, environ []string, log string, args []string, dockerfile, baseImage string) error {
	file, err := logfile.Open(log)
	if err != nil {
		return &failure.Error{Class: failure.ClassUnknown, Err: err}
	}
	defer file.Close()
	args = append(append([]string{"buildx", "build", "--progress", "plain"}, args...), "-")
	fmt.Fprintf(file, "[eval-images] docker %s <<EOF\n%sEOF\n", strings.Join(args, " "), dockerfile)
	before, _ := file.Seek(0, io.SeekEnd)
	cmd := exec.CommandContext(ctx, "docker", args...)
	// An attestation is one more untagged package version for each image.
	cmd.Env = append(environ[:len(environ):len(environ)], "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	cmd.Stdin = strings.NewReader(dockerfile)
	cmd.Stdout, cmd.Stderr = file, file // A file, so that no grandchild that holds it can keep Wait from ending.
	// A group of its own: the docker command starts buildx, and one that lives on would push unseen.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return Ended(ctx)
	case errors.As(err, &exit):
		tail := logfile.Tail(log, before, tailSize)
		lines := strings.Split(tail, "\n")
		err = fmt.Errorf("docker buildx build ended with %d: %s", exit.ExitCode(), lines[len(lines)-1])
		return BuildFailure(exit.ExitCode(), tail, err, baseImage, nil)
	case err != nil:
		return &failure.Error{Class: failure.ClassUnknown, Err: err}
	}
	return nil
}

// Ended is the failure of a command whose ctx has ended: by image-timeout, or by the cancel of the run.
func Ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("%w: %w", err, context.Cause(ctx))}
	}
	return &failure.Error{Class: failure.ClassTimeout, Err: context.Cause(ctx)}
}
