// Package docker talks to the Docker Engine and to BuildKit builders.
package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// callTimeout bounds one call to the engine. A healthy engine answers in milliseconds.
const callTimeout = 20 * time.Second

// Unavailable is the error when the engine, a builder or another part of the runner does not answer.
type Unavailable struct {
	// Part names it: "Docker Engine at unix:///var/run/docker.sock".
	Part string
	Err  error
	hint string
}

func (e *Unavailable) Error() string { return fmt.Sprintf("reaching %s: %s", e.Part, e.Err) }

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *Unavailable) Hint() string { return e.hint }

// Engine is a connection to a Docker Engine that has answered.
type Engine struct {
	api *client.Client
	// Version is the engine's version, "20.10.24". APIVersion is the one that client and engine negotiated.
	Version, APIVersion string
}

// Connect connects to the engine that the docker command would use with the environment that getenv reads. It negotiates the API
// version; Docker 20.10 and newer are supported. The error is an *Unavailable.
func Connect(ctx context.Context, getenv func(string) string) (*Engine, error) {
	at, err := findEndpoint(getenv)
	if err != nil {
		return nil, &Unavailable{Part: "the engine of " + at.String(), Err: err, hint: "docker context ls lists the contexts that " +
			"exist: set DOCKER_CONTEXT to one of them, or DOCKER_HOST to the address of the engine"}
	}
	part := "the Docker Engine at " + at.String()
	if strings.HasPrefix(at.host, "ssh://") {
		return nil, &Unavailable{Part: part, Err: errors.New("ssh is not supported"), hint: "forward the engine's socket with " +
			"ssh -fNL /tmp/docker.sock:/var/run/docker.sock USER@HOST, and set DOCKER_HOST to unix:///tmp/docker.sock"}
	}
	fail := func(err error) (*Engine, error) {
		return nil, &Unavailable{Part: part, Err: err, hint: "run on a machine with Docker " +
			"and its socket at /var/run/docker.sock (GitHub-hosted Linux runners have it, container-hook runners on " +
			"Kubernetes do not), or pass builder: unix://... or tcp://... to use a BuildKit without an engine"}
	}
	api, err := at.connect()
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	version, err := api.ServerVersion(ctx)
	if err != nil {
		api.Close()
		return fail(err)
	}
	return &Engine{api: api, Version: version.Version, APIVersion: api.ClientVersion()}, nil
}

// Close closes the connections.
func (e *Engine) Close() error { return e.api.Close() }

// containerPrefix and firstNode are around a builder's name in the name of its first container (docker/buildx,
// driver/docker-container).
const containerPrefix, firstNode = "/buildx_buildkit_", "0"

// builders lists the names of the docker-container builders that have a container on this engine.
func (e *Engine) builders(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	containers, err := e.api.ContainerList(ctx, container.ListOptions{
		All:     true,
		Filters: filters.NewArgs(filters.Arg("name", strings.TrimPrefix(containerPrefix, "/"))),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the engine's builders: %w", err)
	}
	var names []string
	for _, c := range containers {
		for _, n := range c.Names {
			name, isBuilder := strings.CutPrefix(n, containerPrefix)
			if name, isFirst := strings.CutSuffix(name, firstNode); isBuilder && isFirst {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
