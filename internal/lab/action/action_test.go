package action

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-cmp/cmp"
)

// root is the repository, seen from this folder.
const root = "../../.."

func TestKeyFollowsTheSources(t *testing.T) {
	cases := map[string]struct {
		path    string
		changes bool
	}{
		"program":          {"main.go", true},
		"package":          {"internal/sdk/worker.go", true},
		"embedded file":    {"internal/sdk/worker.py", true},
		"Dockerfile":       {"Dockerfile", true},
		"ignore file":      {".dockerignore", true},
		"dependency":       {"go.mod", true},
		"test":             {"internal/sdk/worker_test.go", false},
		"test data":        {"internal/sdk/testdata/fake.py", false},
		"lab":              {"internal/lab/main.go", false},
		"other top level":  {"README.md", false},
		"built in a build": {"builds/manifest.jsonl", false},
	}
	before := key(t, fstest.MapFS{"main.go": {Data: []byte("package main")}})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"main.go": {Data: []byte("package main")}}
			files[c.path] = &fstest.MapFile{Data: []byte("changed")}
			if changes := key(t, files) != before; changes != c.changes {
				t.Errorf("%s changes the key: %t, want %t", c.path, changes, c.changes)
			}
		})
	}
}

func key(t *testing.T, files fs.FS) string {
	t.Helper()
	key, err := engine.FilesKey(sources{files})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSourcesAreTheBuildContext asks the engine which files .dockerignore admits: the list in this package must be the
// same.
func TestSourcesAreTheBuildContext(t *testing.T) {
	needEngine(t)
	const image = "eval-images-lab/context"
	build := exec.CommandContext(t.Context(), "docker", "build", "--quiet", "--tag", image, "--file", "-", root)
	build.Env = append(build.Environ(), "DOCKER_BUILDKIT=0")
	build.Stdin = strings.NewReader("FROM debian:13.7-slim\nCOPY . /context\n")
	run(t, build)
	t.Cleanup(func() { docker(context.WithoutCancel(t.Context()), "rmi", image).Run() })
	got := strings.Fields(run(t, docker(t.Context(), "run", "--rm", image, "sh", "-c", "cd /context && find * -type f")))
	slices.Sort(got)
	if diff := cmp.Diff(entering(t), got); diff != "" {
		t.Error(diff)
	}
}

// entering lists the files that enter the image. The Dockerfile and .dockerignore reach the engine, but COPY does not
// see them.
func entering(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(sources{os.DirFS(root)}, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path != "Dockerfile" && path != ".dockerignore" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func TestImageIsConfiguredAsContainerActionsMustBe(t *testing.T) {
	var got struct {
		User, WorkingDir string
		Entrypoint, Cmd  []string
	}
	said := run(t, docker(t.Context(), "inspect", "--format", "{{json .Config}}", labImage(t)))
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	if got.User != "" || got.WorkingDir != "" || len(got.Cmd) != 0 {
		t.Errorf("got user %q, folder %q, arguments %q, want none", got.User, got.WorkingDir, got.Cmd)
	}
	if diff := cmp.Diff([]string{"tini", "--", "/eval-images"}, got.Entrypoint); diff != "" {
		t.Error(diff)
	}
}

func TestImageHasWhatTheProgramRuns(t *testing.T) {
	image := labImage(t)
	cases := map[string]struct{ script, want string }{
		"python":            {"$UV_PYTHON -c 'import argparse, dataclasses, sqlite3, ssl, sys, tomllib; print(sys.version)'", "3.13."},
		"uv with python":    {"uv venv --quiet --offline /tmp/v && /tmp/v/bin/python -V", "Python 3.13."},
		"uv":                {"uv --version", "uv 0.13."},
		"docker":            {"docker --version", "Docker version "},
		"buildx":            {"docker buildx version", "buildx 0.13.1"},
		"tini":              {"tini --version", "tini version 0.19.0"},
		"foreign workspace": {"mkdir w && chown 1001:1001 w && cd w && git init --quiet . && chown -R 1001:1001 . && git status", "On branch"},
		"git over https":    {"git ls-remote https://127.0.0.1:1/x 2>&1 || true", "Failed to connect"},
		"git's submodules": {
			"export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=protocol.file.allow GIT_CONFIG_VALUE_0=always GIT_CONFIG_KEY_1=user.name " +
				"GIT_CONFIG_VALUE_1=a GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=a@b; " +
				"for name in a b; do git init --quiet $name; git -C $name commit --quiet --allow-empty --message $name; done; " +
				"git -C b submodule --quiet add /a inner && git -C b commit --quiet --message inner && " +
				"git clone --quiet --recurse-submodules b c && git -C c submodule status", " inner (heads/",
		},
		"git's other commands": { // that a build of the SDK may run
			"git init --quiet d; cd d; git -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message a; git describe --always --dirty && " +
				"git archive HEAD | tar -t && git gc --quiet && git fsck && git bundle create /x HEAD && git fetch --quiet /x HEAD && " +
				"git worktree add --quiet ../e && git stash list && echo all of them", "all of them",
		},
		"no Perl but dpkg's": {"find /usr -name 'Unicode*' -path '*perl*' | wc -l; dpkg-query --show perl-base", "0\nperl-base"},
		"no package lists":   {"ls /var/lib/apt/lists | wc -l", "0"},
		"static program":     {"ldd /eval-images 2>&1 || true", "not a dynamic executable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := run(t, docker(t.Context(), "run", "--rm", "--entrypoint", "sh", image, "-c", c.script))
			if !strings.Contains(got, c.want) {
				t.Errorf("%s said %q, want %q in it", c.script, got, c.want)
			}
		})
	}
}

// labImage returns the image of the present sources, which `up` has built.
func labImage(t *testing.T) string {
	t.Helper()
	needEngine(t)
	image, err := Image(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := docker(t.Context(), "image", "inspect", image).Run(); err != nil {
		t.Fatalf("there is no %s\nhint: make lab", image)
	}
	return image
}

func needEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the lab")
	}
}

func docker(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", args...)
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := engine.Run(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
