// Package services runs a registry and two BuildKits on one network, in the shape of a hosted runner with a service
// container.
package services

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/standin"
)

// Names of the containers. Volumes keep their data after `down`.
const (
	registryName  = "eval-images-lab-registry"
	buildkitName  = "eval-images-lab-buildkit"
	builderPrefix = "buildx_buildkit_" // buildx's own naming, by which a builder is adopted
)

// Network makes the private network.
var Network = engine.Part{Name: "network", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	there, err := e.Output(ctx, "network", "ls", "--quiet", "--filter", "name=^"+engine.Network+"$")
	if err != nil || there != "" {
		return err
	}
	_, err = e.Output(ctx, "network", "create", engine.Network)
	return err
}, Env: func(*engine.Engine) (map[string]string, error) {
	return map[string]string{"LAB_NETWORK": engine.Network}, nil
}}

// Registry runs the registry, on the network and on loopback.
var Registry = engine.Part{Name: "registry", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	err := e.Start(ctx, log, engine.Container{
		Name:  registryName,
		Image: standin.Registry,
		Alias: engine.RegistryAlias,
		Options: []string{
			"--publish", engine.Registry + ":5000",
			"--volume", registryName + ":/var/lib/registry",
			"--env", "REGISTRY_STORAGE_DELETE_ENABLED=true",
			"--env", "OTEL_TRACES_EXPORTER=none", // or it looks for a collector
			"--env", "REGISTRY_LOG_LEVEL=warn", // accesses have a log of their own
		},
	})
	if err != nil {
		return err
	}
	return engine.Await(ctx, "the registry", 30*time.Second, Answers)
}, Env: func(*engine.Engine) (map[string]string, error) {
	return map[string]string{"LAB_REGISTRY": engine.Registry, "LAB_REGISTRY_INSIDE": engine.RegistryInside}, nil
}}

// Answers returns nil when the registry answers on loopback.
func Answers(ctx context.Context) error {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+engine.Registry+"/v2/", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the registry says %s", answer.Status)
	}
	return nil
}

// Down removes everything except volumes.
func Down(ctx context.Context, e *engine.Engine) error {
	for _, container := range []string{builderPrefix + engine.Builder + "0", buildkitName, registryName} {
		if err := e.Remove(ctx, container); err != nil {
			return err
		}
	}
	return removeNetwork(ctx, e)
}

// removeNetwork also removes the containers of other parts and of interrupted tests: Docker does not remove a network
// in use.
func removeNetwork(ctx context.Context, e *engine.Engine) error {
	found, err := e.Output(ctx, "ps", "--all", "--quiet", "--filter", "network="+engine.Network)
	if err != nil {
		return err
	}
	for _, container := range strings.Fields(found) {
		if _, err := e.Output(ctx, "rm", "--force", "--volumes", container); err != nil {
			return err
		}
	}
	there, err := e.Output(ctx, "network", "ls", "--quiet", "--filter", "name=^"+engine.Network+"$")
	if err != nil || there == "" {
		return err
	}
	_, err = e.Output(ctx, "network", "rm", engine.Network)
	return err
}
