package standin

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// toolsDir is the folder of the module that pins BuildKit, buildx and the registry.
func toolsDir(e *engine.Engine) string { return e.Lab("tools") }

func toolsKey(e *engine.Engine) (string, error) { return engine.FilesKey(os.DirFS(toolsDir(e))) }

// tools returns a folder with the module's programs, statically linked.
func tools(ctx context.Context, e *engine.Engine, log io.Writer) (string, error) {
	key, err := toolsKey(e)
	if err != nil {
		return "", err
	}
	return e.Cached("tools", key, func(dir string) error {
		fmt.Fprintln(log, "compiling buildkitd, buildx, the registry and the Dockerfile front end")
		begin := time.Now()
		if err := compile(ctx, e, dir); err != nil {
			return err
		}
		fmt.Fprintf(log, "compiled them in %.0f s\n", time.Since(begin).Seconds())
		return nil
	})
}

func compile(ctx context.Context, e *engine.Engine, dir string) error {
	// Without these flags the two print the version v0.0.0+unknown.
	versions, err := goInTools(ctx, e, "list", "-m", "-f", "-X {{.Path}}/version.Version={{.Version}}",
		"github.com/docker/buildx", "github.com/moby/buildkit")
	if err != nil {
		return fmt.Errorf("reading the tools' versions: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of the tools: %w", err)
	}
	flags := "-s -w " + strings.ReplaceAll(versions, "\n", " ")
	if _, err := goInTools(ctx, e, "build", "-trimpath", "-ldflags", flags, "-o", dir+"/", "tool"); err != nil {
		return fmt.Errorf("compiling the tools: %w", err)
	}
	return nil
}

func goInTools(ctx context.Context, e *engine.Engine, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = toolsDir(e)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return engine.Run(cmd, nil)
}

// Buildx makes docker buildx work with the lab's configuration: the host's own, or a compiled one.
var Buildx = engine.Part{Name: "buildx", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	if _, err := e.Buildx(ctx, nil, "version"); err == nil {
		return nil
	}
	plugins := filepath.Join(e.Config(), "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return fmt.Errorf("making the folder of docker's plugins: %w", err)
	}
	buildx, err := buildx(ctx, e, log)
	if err != nil {
		return err
	}
	link := filepath.Join(plugins, "docker-buildx")
	os.Remove(link) // one to an older build
	if err := os.Symlink(buildx, link); err != nil {
		return fmt.Errorf("linking buildx: %w", err)
	}
	_, err = e.Buildx(ctx, log, "version")
	return err
}}

// buildx returns the path of the user's plugin, which the lab's configuration hides, or of a compiled one.
func buildx(ctx context.Context, e *engine.Engine, log io.Writer) (string, error) {
	if home, err := os.UserHomeDir(); err == nil {
		installed := filepath.Join(home, ".docker", "cli-plugins", "docker-buildx")
		if _, err := os.Stat(installed); err == nil {
			return installed, nil
		}
	}
	dir, err := tools(ctx, e, log)
	return filepath.Join(dir, "buildx"), err
}
