package services

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/standin"
)

//go:embed buildkitd.toml
var config string

// configFile writes BuildKit's configuration to a file whose name changes with the content.
func configFile(e *engine.Engine) (string, error) {
	return e.Cached("buildkitd.toml", engine.Key(config), func(path string) error {
		return os.WriteFile(path, []byte(config), 0o644)
	})
}

// Builder makes a docker-container builder as docker/setup-buildx-action does, for adoption by name.
var Builder = engine.Part{Name: "builder", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	toml, err := configFile(e)
	if err != nil {
		return err
	}
	key, err := builderKey(ctx, e)
	if err != nil {
		return err
	}
	if isMade(ctx, e, key) {
		_, err := e.Buildx(ctx, nil, "inspect", "--bootstrap", engine.Builder)
		return err
	}
	if err := create(ctx, e, toml); err != nil {
		return fmt.Errorf("creating the builder: %w", err)
	}
	fmt.Fprintln(log, "created builder", engine.Builder)
	return saveContainerID(ctx, e, key)
}, Env: func(*engine.Engine) (map[string]string, error) {
	return map[string]string{"LAB_BUILDER": engine.Builder}, nil
}}

func builderKey(ctx context.Context, e *engine.Engine) (string, error) {
	image, err := e.Output(ctx, "image", "inspect", "--format", "{{.Id}}", standin.BuildKit)
	return engine.Key(image, config, engine.Network), err
}

// create replaces the builder and its record. It also removes the state volume, which an older BuildKit may have
// written.
func create(ctx context.Context, e *engine.Engine, toml string) error {
	e.Buildx(ctx, nil, "rm", "--force", engine.Builder) // fails where there is no record of it
	container := builderPrefix + engine.Builder + "0"
	if err := e.Remove(ctx, container); err != nil {
		return err
	}
	if _, err := e.Output(ctx, "volume", "rm", "--force", container+"_state"); err != nil {
		return err
	}
	_, err := e.Buildx(ctx, nil, "create", "--name", engine.Builder, "--driver", "docker-container",
		"--driver-opt", "network="+engine.Network, "--driver-opt", "image="+standin.BuildKit,
		"--buildkitd-config", toml, "--bootstrap")
	return err
}

// isMade reports whether the builder's container was made with this key. buildx cannot put a label on it, so the lab
// keeps the container's id in a file.
func isMade(ctx context.Context, e *engine.Engine, key string) bool {
	noted, err := os.ReadFile(containerIDFile(e))
	if err != nil {
		return false
	}
	id, err := containerID(ctx, e)
	return err == nil && string(noted) == key+" "+id
}

func saveContainerID(ctx context.Context, e *engine.Engine, key string) error {
	id, err := containerID(ctx, e)
	if err != nil {
		return err
	}
	if err := os.WriteFile(containerIDFile(e), []byte(key+" "+id), 0o644); err != nil {
		return fmt.Errorf("noting the builder: %w", err)
	}
	return nil
}

func containerIDFile(e *engine.Engine) string { return filepath.Join(e.Config(), "builder") }

func containerID(ctx context.Context, e *engine.Engine) (string, error) {
	return e.Output(ctx, "container", "inspect", "--format", "{{.Id}}", builderPrefix+engine.Builder+"0")
}

// Endpoint runs a BuildKit on a socket of the host.
var Endpoint = engine.Part{Name: "BuildKit on a socket", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	toml, err := configFile(e)
	if err != nil {
		return err
	}
	if err := makeSocketDir(e); err != nil {
		return err
	}
	err = e.Start(ctx, log, engine.Container{
		Name:  buildkitName,
		Image: standin.BuildKit,
		Alias: "buildkit.local",
		Options: []string{
			"--privileged",
			"--volume", toml + ":/etc/buildkit/buildkitd.toml:ro",
			"--volume", socketDir(e) + ":/run/buildkit",
			"--volume", buildkitName + ":/var/lib/buildkit",
		},
		// The lab's user must be able to open the socket.
		Command: []string{"--config", "/etc/buildkit/buildkitd.toml", "--group", strconv.Itoa(os.Getgid())},
	})
	if err != nil {
		return err
	}
	return engine.Await(ctx, "BuildKit", time.Minute, func(ctx context.Context) error {
		_, err := e.Output(ctx, "exec", buildkitName, "buildctl", "debug", "workers")
		return err
	})
}, Env: func(e *engine.Engine) (map[string]string, error) {
	return map[string]string{"LAB_BUILDER_ENDPOINT": "unix://" + filepath.Join(socketDir(e), "buildkitd.sock")}, nil
}}

func socketDir(e *engine.Engine) string { return filepath.Join(e.Cache, "buildkit") }

func makeSocketDir(e *engine.Engine) error {
	const longest = 107 // what sockaddr_un takes
	if socket := filepath.Join(socketDir(e), "buildkitd.sock"); len(socket) > longest {
		return fmt.Errorf("the path %s is too long for a socket\nhint: set XDG_CACHE_HOME to a shorter one", socket)
	}
	if err := os.MkdirAll(socketDir(e), 0o755); err != nil {
		return fmt.Errorf("making the folder of BuildKit's socket: %w", err)
	}
	return nil
}
