package cmd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Docker commands and workers see the run's own Docker configuration and no secret.
func TestBuildEnvironHasNoSecrets(t *testing.T) {
	work := &workspace{dockerConfig: "/t/docker"}
	env := environment{
		"PATH=/bin", "INPUT_REGISTRY-PASSWORD=s", "INPUT_HF-TOKEN=s", "HF_TOKEN=s",
		"ACTIONS_RUNTIME_TOKEN=s", "ACTIONS_ID_TOKEN_REQUEST_URL=s", "GITHUB_TOKEN=s", "MY_PASSWORD=s", "DOCKER_HOST=tcp://s",
		"AWS_SECRET_ACCESS_KEY=s", "UV_DEFAULT_INDEX=https://u:s@h", "DOCKER_AUTH_CONFIG=s", "DOCKER_CONFIG=/theirs", "DOCKER_TLS_VERIFY=1",
	}
	want := []string{
		"PATH=/bin", "DOCKER_HOST=tcp://s", "DOCKER_CONFIG=/theirs", "DOCKER_TLS_VERIFY=1",
		"DOCKER_CONFIG=/t/docker", "BUILDX_CONFIG=/t/docker/buildx", "BUILDX_BUILDER=b", "DOCKER_CERT_PATH=/theirs", // the last one counts
	}
	if diff := cmp.Diff(want, work.buildEnviron(env, "b")); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if env[1] != "INPUT_REGISTRY-PASSWORD=s" {
		t.Error("the run's own environment was changed")
	}
}
