package cmd

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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

// What a build that finds the disk full says: the room on all disks that it needs, and what the images took.
func TestSpaceOfABuild(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\ncase $1 in exec) echo tmpfs 2400000 2400000 0 100% /var/lib/buildkit ;; *) echo Total: 2.1GB ;; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	const size = `[0-9.]+[kMGT]?B of [0-9.]+[kMGT]?B`
	cases := []struct {
		name, disk string
		remote     bool
		want       string
	}{
		{"on this engine", bin, false, `builder's root 0B of 2.46GB, engine's disk ` + size + `, workspace ` + size + `, temporary folder ` + size},
		{"on another", "", false, `builder's root 0B of 2.46GB, workspace ` + size + `, temporary folder ` + size},
		{"at an address", "", true, `workspace ` + size + `, temporary folder ` + size},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := &builder{name: "b", work: &workspace{root: t.TempDir()}}
			b.keepCache(docker.Buildx{Log: io.Discard}, c.disk, c.remote)
			got := b.Space(t.Context())
			if want := "^free: " + c.want + "; the builder's cache takes 2.1GB$"; !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%q, want %s", got, want)
			}
		})
	}
}
