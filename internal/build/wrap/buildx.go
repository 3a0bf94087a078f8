package wrap

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

	"github.com/OpenHands/eval-images/internal/sdk"
)

// grace is how long docker has between SIGINT and SIGKILL when the image's time is over or the run is cancelled.
const grace = 2 * time.Second

// makeArgs builds the Dockerfile on standard input, without a context, and pushes the result.
func makeArgs(reference string) []string {
	return []string{"buildx", "build", "--push", "--progress", "plain", "--platform", platform, "--tag", reference, "-"}
}

// buildx makes an image and pushes it, with all output in the file at path. The error is an *sdk.BuildFailure when the
// command failed, as it is when the SDK's own docker command does, so that both are classified alike; else ctx's cause.
func (b *Builder) buildx(ctx context.Context, path, reference, recipe string) error {
	log, err := openLog(path)
	if err != nil {
		return err
	}
	defer log.Close()
	args := makeArgs(reference)
	fmt.Fprintf(log, "[eval-images] docker %s <<EOF\n%sEOF\n", strings.Join(args, " "), recipe)
	before, _ := log.Seek(0, io.SeekEnd)
	cmd := exec.CommandContext(ctx, "docker", args...)
	// An attestation is one more untagged package version for each image.
	cmd.Env = append(b.Environ[:len(b.Environ):len(b.Environ)], "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	cmd.Stdin = strings.NewReader(recipe)
	cmd.Stdout, cmd.Stderr = log, log // A file, so that no grandchild that holds it can keep Wait from ending.
	// A group of its own: the docker command starts buildx, and one that lives on would push, unseen.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return ended(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &sdk.BuildFailure{ReturnCode: exit.ExitCode(), Command: append([]string{"docker"}, args...), Tail: tailFrom(log, before)}
	}
	return err
}

// ended is why ctx has ended: image-timeout, or the cancel with its cause.
func ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// openLog opens an image's log for appending: the SDK's build adds to it later.
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

// tailFrom is the last of what was written since the file ended at start, in whole lines.
func tailFrom(log *os.File, start int64) string {
	end, _ := log.Seek(0, io.SeekEnd)
	from := max(start, end-tailSize)
	text := make([]byte, end-from)
	n, _ := log.ReadAt(text, from)
	said := strings.ToValidUTF8(string(text[:n]), "")
	if _, rest, found := strings.Cut(said, "\n"); found && from > start {
		said = rest
	}
	return strings.TrimSpace(said)
}
