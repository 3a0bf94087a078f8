package sdk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// minimal is a request as an eval-base's.
func minimal() Request {
	return Request{BaseImage: "hub/base:1", CustomTag: "c", Image: "r/i", Target: "base-image-minimal", GitSHA: "unknown"}
}

// dockerRuns are the commands with which docker was run.
func (f fixture) dockerRuns() int {
	text, _ := os.ReadFile(filepath.Join(f.root, "docker.log"))
	return strings.Count(string(text), "\n")
}

// contents are the files below a folder with their modes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		found[path] = info.Mode().String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A capture is what a build would be; nothing of docker's runs for it, and no sdist is made.
func TestCapture(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	if err := os.Chmod(filepath.Join(f.root, "openhands/catalog.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	request := minimal()
	request.Options = map[string]string{"flavor": "sweet"}
	request.LogPath = f.log()
	got, err := f.Capture(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	dockerfile := filepath.Join(f.root, "openhands/agent_server/docker/Dockerfile")
	context := got.Argv[len(got.Argv)-1]
	want := Captured{
		Argv: []string{
			"docker", "buildx", "build", "--file", dockerfile, "--target", "base-image-minimal",
			"--build-arg", "BASE_IMAGE=hub/base:1", "--build-arg", "OPENHANDS_BUILD_GIT_SHA=unknown", "--build-arg", "FLAVOR=sweet",
			"--platform", "linux/amd64", "--push", "--tag", "r/i:unknown-c-base-image-minimal", "--cache-from", "type=registry,ref=r/i:buildcache", context,
		},
		Args:    map[string]string{"BASE_IMAGE": "hub/base:1", "OPENHANDS_BUILD_GIT_SHA": "unknown", "FLAVOR": "sweet"},
		Options: []string{}, Target: "base-image-minimal", Platform: "linux/amd64",
		Dir: got.Dir, Dockerfile: readFile(t, dockerfile),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"Dockerfile": "-rw-r--r--", "openhands/catalog.py": "-rwxr-xr-x"}, contents(t, got.Dir)); diff != "" {
		t.Errorf("the copied context (-want +got):\n%s", diff)
	}
	if f.dockerRuns() != 0 || f.uvRuns() != 0 {
		t.Errorf("docker ran %d times and uv %d times, want neither", f.dockerRuns(), f.uvRuns())
	}
	if log := readFile(t, f.log()); !strings.Contains(log, "not run: docker buildx build --file") {
		t.Errorf("the log does not say that docker was not run:\n%s", log)
	}
	f.testAfterCapture(got)
}

// testAfterCapture builds for real, captures the same again beside it, and closes the pool.
func (f fixture) testAfterCapture(first Captured) {
	f.t.Helper()
	request := minimal()
	request.LogPath = f.log()
	built, err := f.Build(f.t.Context(), request)
	if diff := cmp.Diff([]string{"r/i:unknown-c-base-image-minimal"}, built.Tags); diff != "" || err != nil {
		f.t.Errorf("Build: %v, tags (-want +got):\n%s", err, diff)
	}
	if n := f.dockerRuns(); n != 2 {
		f.t.Errorf("docker ran %d times for the build, want 2", n)
	}
	second, err := f.Capture(f.t.Context(), request)
	if err != nil || second.Dir == first.Dir || len(contents(f.t, first.Dir)) != 2 {
		f.t.Errorf("second capture %+v, error %v; the first's context should be kept", second, err)
	}
	if err := f.Close(); err != nil {
		f.t.Error(err)
	}
	if _, err := os.Stat(first.Dir); !errors.Is(err, fs.ErrNotExist) {
		f.t.Errorf("the context is there after Close: %v", err)
	}
}

// The SDKs of old make each context from an sdist, which may be the prebuilt one.
func TestCaptureWithSdist(t *testing.T) {
	for _, variant := range []string{"native", "intercept", "old"} {
		t.Run(variant, func(t *testing.T) {
			f := newPythonFixture(t, variant)
			request := minimal()
			request.Target, request.Sdist, request.LogPath = "source-minimal", f.prebuilt(), f.log()
			if _, err := f.Capture(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			if f.dockerRuns() != 0 || f.uvRuns() != 0 {
				t.Errorf("docker ran %d times and uv %d times, want neither", f.dockerRuns(), f.uvRuns())
			}
		})
	}
}

// Paths are those of docker's folder, a variable that is only named is the environment's, and BuildKit takes the ignore
// file beside the Dockerfile.
func TestCaptureReadsAsDockerDoes(t *testing.T) {
	f := newPythonFixture(t, "native")
	request := minimal()
	request.BaseImage = "relative"
	got, err := f.Capture(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"BASE_IMAGE": "relative", "OPENHANDS_BUILD_GIT_SHA": "unknown", "HOME": f.root, "PAIR": "a=b"}
	if diff := cmp.Diff(want, got.Args); diff != "" || !strings.Contains(got.Dockerfile, "FROM ${BASE_IMAGE}") {
		t.Errorf("Dockerfile %q, arguments (-want +got):\n%s", got.Dockerfile, diff)
	}
	ignores := filepath.Join(f.root, "openhands/agent_server/docker/Dockerfile.dockerignore")
	if err := os.WriteFile(ignores, []byte("*.pyc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err = f.Capture(t.Context(), minimal()); err != nil || readFile(t, filepath.Join(got.Dir, ".dockerignore")) != "*.pyc\n" {
		t.Errorf("the context's ignore file is not that of the Dockerfile: %v", err)
	}
}

// An option that this program does not know may change the image, so it is kept with its value. What the SDK made of
// cache-mode shows in its command.
func TestCaptureOfNewOptions(t *testing.T) {
	f := newPythonFixture(t, "native")
	cases := []struct {
		base      string
		options   []string
		cacheMode string
	}{
		{"b", []string{}, "off"},
		{"new options", []string{"--build-context=base=/", "--secret=id=a,env=A", "--ssh=default"}, "min"},
	}
	for _, c := range cases {
		request := minimal()
		request.BaseImage = c.base
		got, err := f.Capture(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.options, got.Options); diff != "" || got.CacheMode() != c.cacheMode || got.Target != "base-image-minimal" {
			t.Errorf("%s: cache mode %s, target %s, options (-want +got):\n%s", c.base, got.CacheMode(), got.Target, diff)
		}
	}
}

func TestCaptureErrors(t *testing.T) {
	cases := []struct{ name, variant, base, want string }{
		{"no _run", "none", "b", "the SDK's build module has no _run that could be answered"},
		{"no docker", "native", "no docker", "the SDK's build ended without docker buildx build"},
		{"docker twice", "native", "twice", "the SDK's build runs docker buildx build more than once"},
		{
			"an option that may change the image", "native", "odd",
			"the SDK's docker buildx build is not understood: unrecognized arguments: --no-cache",
		},
		{"a context that is elsewhere", "native", "elsewhere", "is not a folder: https://example.org/context.git"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newPythonFixture(t, c.variant)
			request := minimal()
			request.BaseImage, request.LogPath = c.base, f.log()
			got, err := f.Capture(t.Context(), request)
			var none *CaptureError
			if !errors.As(err, &none) || !strings.Contains(none.Reason, c.want) {
				t.Errorf("captured %+v, error %v; want %q", got, err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(f.options.Dir, "context-*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			// The module is as it was.
			if _, err := f.Build(t.Context(), Request{BaseImage: "b", CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}); err != nil || f.dockerRuns() != 2 {
				t.Errorf("the next build: %v, docker ran %d times", err, f.dockerRuns())
			}
		})
	}
}

// What fails in a build fails in a capture in the same words.
func TestCaptureFails(t *testing.T) {
	f := newPythonFixture(t, "native")
	capture := func(change func(*Request)) error {
		request := minimal()
		request.Sdist = f.prebuilt()
		change(&request)
		_, err := f.Capture(t.Context(), request)
		return err
	}
	var raised *SDKError
	if err := capture(func(r *Request) { r.BaseImage = "raises" }); !errors.As(err, &raised) || raised.Message != "no such catalog" {
		t.Errorf("err = %v, want the SDK's FileNotFoundError", err)
	}
	var refused *OptionError
	if err := capture(func(r *Request) { r.Options = map[string]string{"x": ""} }); !errors.As(err, &refused) {
		t.Errorf("err = %v, want an OptionError", err)
	}
	var died *WorkerDied
	if err := capture(func(r *Request) { r.BaseImage = "exits" }); !errors.As(err, &died) {
		t.Errorf("err = %v, want a WorkerDied", err)
	}
	if err := capture(func(*Request) {}); err != nil {
		t.Errorf("the next capture: %v", err)
	}
}

// The SHA of a request is in its names, others have the checkout's.
func TestNamesWithAnotherSHA(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	own := minimal()
	own.GitSHA = ""
	names, err := f.Names(t.Context(), []Request{minimal(), own})
	want := [][]string{
		{"r/i:unknown-c-base-image-minimal"},
		{"r/i:0123456-c-base-image-minimal", "r/i:" + someCommit + "-c-base-image-minimal"},
	}
	if diff := cmp.Diff(want, names); diff != "" || err != nil {
		t.Errorf("Names: %v (-want +got):\n%s", err, diff)
	}
}
