package docker

import (
	"io"
	"strings"
	"testing"
)

// The texts are those of Docker 20.10 and 28.
func TestMissingDockerCommandOrBuildxIsNamed(t *testing.T) {
	cases := []struct{ name, docker, want, hint string }{
		{"no docker command", "", "executable file not found", "install the docker command"},
		{
			"no buildx with Docker 28", "unknown flag: --name\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]\n\nRun 'docker --help' for more information",
			"this docker command has no plugin buildx", "install buildx",
		},
		{"no buildx with Docker 20.10", "unknown flag: --name\nSee 'docker --help'.", "this docker command has no plugin buildx", "install buildx"},
		{"no buildx, and no flags", "docker: 'buildx' is not a docker command.\nSee 'docker --help'", "has no plugin buildx", "install buildx"},
		{"buildx refuses a flag", "unknown flag: --name\nSee 'docker buildx create --help'.", "docker buildx create --help", "check the address in builder"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if c.docker != "" {
				fakeDocker(t, dir, "printf %s \""+c.docker+"\" >&2; exit 125")
			}
			_, err := Buildx{Log: io.Discard}.UseAddress(t.Context(), "tcp://b:1")
			unavailable, ok := err.(*Unavailable)
			if !ok || !strings.Contains(err.Error(), c.want) || !strings.Contains(unavailable.Hint(), c.hint) {
				t.Errorf("error %v, want %q and the hint %q", err, c.want, c.hint)
			}
		})
	}
}
