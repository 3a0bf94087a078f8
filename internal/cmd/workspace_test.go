package cmd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Docker commands and workers see the run's own Docker configuration and no secret.
func TestBuildEnvironHasNoSecrets(t *testing.T) {
	work := &workspace{temporary: "/t"}
	env := environment{
		"PATH=/bin", "INPUT_REGISTRY-PASSWORD=s", "INPUT_HF-TOKEN=s", "HF_TOKEN=s",
		"ACTIONS_RUNTIME_TOKEN=s", "ACTIONS_ID_TOKEN_REQUEST_URL=s", "GITHUB_TOKEN=s", "MY_PASSWORD=s", "DOCKER_HOST=unix:///s",
	}
	want := []string{"PATH=/bin", "DOCKER_HOST=unix:///s", "DOCKER_CONFIG=/t/docker", "BUILDX_CONFIG=/t/docker/buildx", "BUILDX_BUILDER=b"}
	if diff := cmp.Diff(want, work.buildEnviron(env, "b")); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if env[1] != "INPUT_REGISTRY-PASSWORD=s" {
		t.Error("the run's own environment was changed")
	}
}
