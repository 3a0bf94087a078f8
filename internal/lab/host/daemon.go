package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// ownPID is the file in the cache with the pid of the dockerd that the lab started.
const ownPID = "dockerd.pid"

// start runs dockerd in a session of its own, because the lab outlives the command that brought it up.
func start(ctx context.Context, e *engine.Engine, log io.Writer) error {
	if err := removeStale("/var/run"); err != nil {
		return err
	}
	args, err := runtimeArgs(ctx, e)
	if err != nil {
		return err
	}
	said := filepath.Join(e.Cache, "dockerd.log")
	output, err := os.Create(said)
	if err != nil {
		return fmt.Errorf("opening dockerd's log: %w", err)
	}
	defer output.Close()
	cmd := exec.Command("dockerd", args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(e.Cache, ownPID), []byte(pid), 0o644); err != nil {
		return fmt.Errorf("noting dockerd's process: %w", err)
	}
	if err := await(ctx, e, cmd); err != nil {
		return fmt.Errorf("starting dockerd: %w: %s\nhint: read %s", err, lastLine(said), said)
	}
	fmt.Fprintln(log, "started dockerd; its log is", said)
	return nil
}

func lastLine(path string) string {
	content, _ := os.ReadFile(path) // the path is in the error, too
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

func await(ctx context.Context, e *engine.Engine, dockerd *exec.Cmd) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(fmt.Errorf("it ended at once: %v", dockerd.Wait())) }()
	err := engine.Await(ctx, "the engine", time.Minute, func(ctx context.Context) error {
		if engineAnswers(ctx, e) {
			return nil
		}
		return errors.New("it does not answer")
	})
	if err != nil && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// removeStale removes the pid files of killed daemons whose pid another process has now: dockerd takes any living
// daemonProcess for its predecessor. It clears away all other remains itself.
func removeStale(run string) error {
	for path, daemon := range map[string]string{
		"docker.pid":                       "dockerd",
		"docker/containerd/containerd.pid": "containerd",
	} {
		path = filepath.Join(run, path)
		if _, running := daemonProcess(path, daemon); running {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a killed daemon's pid file: %w", err)
		}
	}
	return nil
}

// daemonProcess returns the pid in a file, and whether that process is still the daemon.
func daemonProcess(pidFile, daemon string) (pid int, running bool) {
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, false
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return pid, err == nil && strings.TrimSpace(string(name)) == daemon
}

// Stop stops the engine if the lab started it.
func Stop(ctx context.Context, e *engine.Engine) error {
	path := filepath.Join(e.Cache, ownPID)
	pid, running := daemonProcess(path, "dockerd")
	if !running {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping dockerd: %w", err)
	}
	err := engine.Await(ctx, "dockerd's end", time.Minute, func(context.Context) error {
		if _, running := daemonProcess(path, "dockerd"); running {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.Remove(path)
}
