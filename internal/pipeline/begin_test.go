package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Docker commands, the wrap's builds among them, see the run's own Docker configuration and no secret.
func TestBuildEnvironHasNoSecrets(t *testing.T) {
	r := &run{temporary: "/t", environ: []string{"PATH=/bin", "INPUT_REGISTRY-PASSWORD=s", "INPUT_HF-TOKEN=s", "HF_TOKEN=s",
		"ACTIONS_RUNTIME_TOKEN=s", "ACTIONS_ID_TOKEN_REQUEST_URL=s", "GITHUB_TOKEN=s", "MY_PASSWORD=s", "DOCKER_HOST=unix:///s"}}
	r.builder.name = "b"
	want := []string{"PATH=/bin", "DOCKER_HOST=unix:///s", "DOCKER_CONFIG=/t/docker", "BUILDX_CONFIG=/t/docker/buildx", "BUILDX_BUILDER=b"}
	if diff := cmp.Diff(want, r.buildEnviron()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if r.environ[1] != "INPUT_REGISTRY-PASSWORD=s" {
		t.Error("the run's own environment was changed")
	}
}
