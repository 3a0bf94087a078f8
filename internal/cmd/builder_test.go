package cmd

import (
	"maps"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/docker"
)

func TestBuilderName(t *testing.T) {
	cases := []struct{ given, want string }{
		{"", "eval-images-run-"},
		{"builder-1", "builder-1"},
		{"tcp://h:1", docker.RemoteName},
	}
	for _, c := range cases {
		t.Run(c.given, func(t *testing.T) {
			name := builderName(c.given, nil)
			if !strings.HasPrefix(name, c.want) || docker.IsRunBuilderName(name) != (c.given == "") {
				t.Errorf("the builder is %s, want %s", name, c.want)
			}
			if environ := strings.Join((&workspace{}).buildEnviron(nil, name), "\n") + "\n"; !strings.Contains(environ, "BUILDX_BUILDER="+name+"\n") {
				t.Errorf("workers and docker commands get another builder: %s", environ)
			}
		})
	}
}

// If two steps had one identity, the post step of the one would remove the builder of the other.
func TestEachStepHasItsOwnIdentity(t *testing.T) {
	step := map[string]string{
		"GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "build",
		"GITHUB_ACTION": "__self", "RUNNER_NAME": "GitHub Actions 2",
	}
	identity := func(step map[string]string) string {
		return stepIdentity(func(name string) string { return step[name] })
	}
	if identity(step) != identity(maps.Clone(step)) {
		t.Error("the post step has another identity than the step")
	}
	for name := range step {
		other := maps.Clone(step)
		other[name] += "1"
		if identity(other) == identity(step) {
			t.Errorf("another %s makes no difference", name)
		}
	}
}
