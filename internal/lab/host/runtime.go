package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// runtime is dockerd's name for the shim in front of runc.
const runtime = "lab"

// runtimeArgs puts the shim in front of runc where this machine lacks capabilities.
func runtimeArgs(ctx context.Context, e *engine.Engine) ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("reading this machine's capabilities: %w", err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's capabilities: %w", err)
	}
	whole, err := hasAll(string(status), string(last))
	if err != nil || whole {
		return nil, err
	}
	shim := shimFile(e)
	return []string{"--add-runtime", runtime + "=" + shim, "--default-runtime", runtime}, buildShim(ctx, e, shim)
}

func shimFile(e *engine.Engine) string { return filepath.Join(e.Cache, "runc-shim") }

// keepShim builds the shim again if somebody removed the cache while the engine runs, which could otherwise start no
// container.
func keepShim(ctx context.Context, e *engine.Engine) error {
	if _, err := os.Stat(shimFile(e)); err == nil {
		return nil
	}
	path, err := e.Output(ctx, "info", "--format", "{{range $name, $r := .Runtimes}}{{if eq $name \""+runtime+"\"}}{{$r.Path}}{{end}}{{end}}")
	if err != nil || path == "" {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return buildShim(ctx, e, path)
}

func buildShim(ctx context.Context, e *engine.Engine, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./host/shim")
	cmd.Dir = e.Lab()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := engine.Run(cmd, nil); err != nil {
		return fmt.Errorf("building the shim of runc: %w", err)
	}
	return nil
}

// hasAll reports whether the bounding set in /proc/self/status has every capability up to the kernel's last.
func hasAll(status, last string) (bool, error) {
	var set uint64
	var highest int
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &set); err != nil {
				return false, fmt.Errorf("reading CapBnd: %w", err)
			}
		}
	}
	if _, err := fmt.Sscan(last, &highest); err != nil {
		return false, fmt.Errorf("reading the kernel's last capability: %w", err)
	}
	all := uint64(1)<<(highest+1) - 1
	return set&all == all, nil
}
