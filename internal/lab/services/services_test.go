package services

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// dockerfile needs everything that the mirrors provide: a front end, a base, and a stage from another registry.
const dockerfile = `# syntax=docker/dockerfile:1.7
FROM docker.io/library/python:3.13-bookworm AS uv
COPY --from=ghcr.io/astral-sh/uv:0.13.5 /uv /uv
RUN --mount=type=tmpfs,target=/tmp /uv --version > /version
FROM scratch
COPY --from=uv /version /version
`

// TestBuildersBuildAndPush uses both builders with an empty docker configuration, as a user who has never seen them.
func TestBuildersBuildAndPush(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the lab")
	}
	e, err := engine.New("../../..")
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := Endpoint.Env(e)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		create []string
	}{
		{"adopted", []string{"--name", engine.Builder, "--driver", "docker-container"}},
		{"remote", []string{"--name", "lab-test", "--driver", "remote", endpoint["LAB_BUILDER_ENDPOINT"]}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := builderContainer(t, e)
			buildx := freshBuildx(t, e)
			buildx(append([]string{"create"}, c.create...)...)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
				t.Fatal(err)
			}
			image := "lab-test/" + c.name + ":latest"
			buildx("build", "--builder", c.create[1], "--push", "--provenance=false", "--tag", engine.RegistryInside+"/"+image, dir)
			checkPushed(t, image)
			if after := builderContainer(t, e); after != before {
				t.Errorf("the builder's container was %s, is %s: not adopted but replaced", before, after)
			}
		})
	}
}

// freshBuildx returns a function that runs docker buildx with an empty home. Only the plugin is the lab's.
func freshBuildx(t *testing.T, e *engine.Engine) func(args ...string) {
	t.Helper()
	home := t.TempDir()
	if err := os.Symlink(filepath.Join(e.Config(), "cli-plugins"), filepath.Join(home, "cli-plugins")); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "docker", append([]string{"buildx"}, args...)...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+home, "BUILDX_CONFIG=")
		if _, err := engine.Run(cmd, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// checkPushed reads the pushed image from the registry: it has the one layer of its last stage.
func checkPushed(t *testing.T, image string) {
	t.Helper()
	ref, err := name.ParseReference(engine.Registry + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := pushed.Layers()
	if err != nil || len(layers) != 1 {
		t.Errorf("the image has %d layers, %v; want 1", len(layers), err)
	}
	if err := remote.Delete(ref.Context().Digest(digest(t, pushed)), remote.WithContext(context.WithoutCancel(t.Context()))); err != nil {
		t.Errorf("the registry deletes nothing: %v", err)
	}
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	found, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return found.String()
}

// builderContainer returns the id of the builder's container and the time of its start.
func builderContainer(t *testing.T, e *engine.Engine) string {
	t.Helper()
	said, err := e.Output(t.Context(), "container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", builderPrefix+engine.Builder+"0")
	if err != nil {
		t.Fatalf("%v\nhint: make lab", err)
	}
	return strings.TrimSpace(said)
}
