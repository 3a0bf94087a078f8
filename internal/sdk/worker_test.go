package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// python is one that runs worker.py beside the fake SDK; that needs no package.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run()
	}
	if err != nil {
		t.Fatalf("worker.py cannot be tested without python3, 3.11 or later: %v", err)
	}
	return path
}

// fakeUV is a uv that writes which command it was, and makes a tarball of its own where it is asked to.
const fakeUV = `#!/bin/sh
here=$(dirname "$0")
echo "$PWD: uv $*" >>"$here/uv.log"
mkdir "$here/busy" || echo "two uv at once" >>"$here/overlaps"
for last; do :; done
case "$*" in "build --sdist --out-dir /"*) echo "an sdist of its own" >"$last/unknown-0.0.0.tar.gz";; esac
sleep 0.1
rmdir "$here/busy"
`

// quietDocker is a docker that only writes that it ran.
const quietDocker = `#!/bin/sh
echo "docker $*" >>"$(dirname "$0")/docker.log"
`

// newPythonFixture is a pool of one worker beside the fake SDK in the given variant.
func newPythonFixture(t *testing.T, variant string) fixture {
	return newPythonPool(t, variant, 1)
}

// newPythonPool is a pool of size workers beside the fake SDK in the given variant.
func newPythonPool(t *testing.T, variant string, size int) fixture {
	t.Helper()
	interpreter := python(t)
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.CopyFS(root, os.DirFS("testdata/fakesdk")), // Python writes its bytecode beside it.
		os.WriteFile(filepath.Join(root, "variant"), []byte(variant), 0o644),
		os.WriteFile(filepath.Join(root, "uv"), []byte(fakeUV), 0o755),
		os.WriteFile(filepath.Join(root, "docker"), []byte(quietDocker), 0o755),
		os.WriteFile(filepath.Join(root, "prebuilt.tar.gz"), []byte("the prebuilt sdist"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	pool := NewPool(PoolOptions{
		Checkout:    Checkout{Root: root, SHA: someCommit},
		Environment: Environment{Python: interpreter, PythonPath: []string{root}},
		Size:        size, Dir: shortTempDir(t), CacheMode: "off", LogPath: filepath.Join(root, "workers.log"),
		Environ: []string{"PATH=" + root + ":" + os.Getenv("PATH"), "HOME=" + root},
	})
	t.Cleanup(func() { pool.Close() })
	return fixture{pool, t, root}
}

func (f fixture) prebuilt() string { return filepath.Join(f.root, "prebuilt.tar.gz") }

// uvRuns are the commands with which uv was run, as uv saw them.
func (f fixture) uvRuns() int {
	text, _ := os.ReadFile(filepath.Join(f.root, "uv.log"))
	return strings.Count(string(text), "\n")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// seamCase is what becomes of the prebuilt sdist, by what the SDK offers and by what was handed over.
type seamCase struct {
	variant, seam string
	sdist         bool // handed over
	lost          bool // and gone
	ownSdists     int
	telemetry     map[string]float64
}

func TestWorkerSeams(t *testing.T) {
	telemetry := map[string]float64{"build_context_seconds": 0.5, "cached_step_count": 2}
	cases := []seamCase{
		{"native", SeamNativeField, true, false, 0, telemetry},
		{"native", SeamNativeField, false, false, 1, telemetry},
		{"native", SeamNativeField, true, true, 1, telemetry},
		{"intercept", SeamIntercept, true, false, 0, telemetry},
		{"intercept", SeamIntercept, false, false, 1, telemetry},
		{"intercept", SeamIntercept, true, true, 1, telemetry},
		{"old", SeamIntercept, true, false, 0, map[string]float64{}},
		{"none", SeamNone, true, false, 1, telemetry},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s sdist=%t lost=%t", c.variant, c.sdist, c.lost), func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

func (c seamCase) test(t *testing.T) {
	f := newPythonFixture(t, c.variant)
	request := Request{BaseImage: "b", CustomTag: "c", Image: "r/i", Target: "t", LogPath: f.log()}
	if c.sdist {
		request.Sdist = f.prebuilt()
	}
	if c.lost {
		os.Remove(f.prebuilt())
	}
	description, err := f.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if description.Seam != c.seam || description.SDKVersion != "9.9.9" {
		t.Errorf("description = %+v, want seam %s", description, c.seam)
	}
	got, err := f.Build(t.Context(), request)
	want := Response{
		Tags:      []string{"r/i:0123456-c-t", "r/i:" + someCommit + "-c-t"},
		Telemetry: c.telemetry, SdistBuilds: c.ownSdists, SdistLost: c.lost,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Build: %v (-want +got):\n%s", err, diff)
	}
	if n := f.uvRuns(); n != c.ownSdists {
		t.Errorf("uv ran %d times, want %d", n, c.ownSdists)
	}
	source := map[bool]string{true: "context from an sdist of its own", false: "context from the prebuilt sdist"}[c.ownSdists == 1]
	log := readFile(t, f.log())
	if !strings.Contains(log, source) || strings.Contains(log, "is gone") != c.lost {
		t.Errorf("the image's log says:\n%s\nwant %q, lost %t", log, source, c.lost)
	}
}

// The intercept answers the one command that it is for; everything else runs.
func TestWorkerInterceptsNothingElse(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "intercept")
	request := Request{BaseImage: "other commands", CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}
	got, err := f.Build(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if n := f.uvRuns(); n != 4 || got.SdistBuilds != 3 {
		t.Errorf("uv ran %d times, want 4; %d sdist builds counted, want 3", n, got.SdistBuilds)
	}
	// Nor does it stay for the next build.
	got, err = f.Build(t.Context(), Request{CustomTag: "c", LogPath: f.log()})
	if n := f.uvRuns(); err != nil || n != 5 || got.SdistBuilds != 1 {
		t.Errorf("a build without an sdist: %v; uv ran %d times, want once more; %d counted", err, n, got.SdistBuilds)
	}
}

// Sdist builds of several workers would write one folder in the SDK's root, so they take turns.
func TestSdistBuildsTakeTurns(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", 4)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, err := f.Build(t.Context(), Request{CustomTag: "c", LogPath: filepath.Join(f.root, fmt.Sprintf("%d.log", i))})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if overlaps, err := os.ReadFile(filepath.Join(f.root, "overlaps")); err == nil || f.uvRuns() != 8 {
		t.Errorf("uv ran %d times, want 8; %s", f.uvRuns(), overlaps)
	}
}

func TestWorkerOptions(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	good := Request{BaseImage: "b", CustomTag: "c", Image: "r/i", Target: "t"}
	with := func(change func(*Request)) Request {
		r := good
		change(&r)
		return r
	}
	cases := []struct {
		name     string
		request  Request
		problems []string
	}{
		{"none", good, nil},
		{"one that it has", with(func(r *Request) { r.Options = map[string]string{"flavor": ""} }), nil},
		{"one that it has not", with(func(r *Request) { r.Options = map[string]string{"flavour": "x"} }), []string{"sdk-options: this SDK has no option flavour"}},
		{"one of ours", with(func(r *Request) { r.Options = map[string]string{"git_sha": "x"} }), []string{"sdk-options: git_sha is set by the action itself"}},
		{"one of ours that it has not", with(func(r *Request) { r.Options = map[string]string{"platforms": "x"} }), []string{"sdk-options: platforms is set by the action itself"}},
		{"a bad value", with(func(r *Request) { r.Options = map[string]string{"flavor": "sour"} }), []string{"sdk-options: flavor: not sour"}},
		{"a bad target", with(func(r *Request) { r.Target = "bogus" }), []string{"target: no such target"}},
		{"no tag", with(func(r *Request) { r.CustomTag = "" }), []string{"custom tag '': the SDK makes no tag of it"}},
		{
			"two at once", with(func(r *Request) { r.Options = map[string]string{"x": ""}; r.Target = "bogus" }),
			[]string{"sdk-options: this SDK has no option x", "target: no such target"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			names, err := f.Names(t.Context(), []Request{good, c.request})
			if c.problems == nil {
				want := []string{"r/i:0123456-c-t", "r/i:" + someCommit + "-c-t"}
				if diff := cmp.Diff([][]string{want, want}, names); diff != "" || err != nil {
					t.Errorf("Names: %v (-want +got):\n%s", err, diff)
				}
				return
			}
			var refused *OptionError
			if !errors.As(err, &refused) {
				t.Fatalf("err = %v, want an OptionError", err)
			}
			if diff := cmp.Diff(&OptionError{Problems: c.problems, Valid: []string{"flavor"}}, refused); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWorkerFailures(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	build := func(image string) error {
		_, err := f.Build(t.Context(), Request{BaseImage: image, CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()})
		return err
	}
	var failed *BuildFailure
	want := &BuildFailure{
		ReturnCode: 3, Command: []string{"docker", "buildx", "build"}, Tail: "second but last\nlast words",
		Telemetry: map[string]float64{"build_context_seconds": 0.5, "cached_step_count": 2},
	}
	if err := build("fails"); !errors.As(err, &failed) {
		t.Errorf("err = %v, want a BuildFailure", err)
	} else if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var raised *SDKError
	if err := build("raises"); !errors.As(err, &raised) || raised.Type != "FileNotFoundError" || raised.Message != "no such catalog" ||
		!strings.Contains(raised.Traceback, "in build") {
		t.Errorf("err = %#v, want the SDK's FileNotFoundError with its traceback", err)
	}
	if err := build("leaves"); !errors.As(err, &raised) || raised.Type != "SystemExit" {
		t.Errorf("err = %#v, want the SDK's SystemExit", err)
	}
	// All of that by one worker, which the SDK has left in another folder, and which still works.
	if err := build("good"); err != nil || len(f.idle) != 1 || f.made != 1 {
		t.Errorf("err = %v after %d workers", err, f.made)
	}
}

// Everything that the SDK and its children say is in the image's log, nothing of it in the protocol or another log.
func TestWorkerOutput(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	for _, name := range []string{"one", "two"} {
		log := filepath.Join(f.root, "logs", name+".log")
		if _, err := f.Build(t.Context(), Request{BaseImage: name, CustomTag: "c", Sdist: f.prebuilt(), LogPath: log}); err != nil {
			t.Fatal(err)
		}
		want := "in " + f.root + "\ncontext from the prebuilt sdist\nsaid on standard output\nsaid on standard error\nsaid by a child\nsaid by a child, loudly\n"
		if diff := cmp.Diff(want, readFile(t, log)); diff != "" {
			t.Errorf("log of %s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff("noise at import\n", readFile(t, f.options.LogPath)); diff != "" {
		t.Errorf("the workers' own log (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(filepath.Join(f.options.Dir, "1", "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
}

// The SDK reads telemetry from what a build has printed, in time by the square of the length of a run of blanks.
func TestBlanksInABuildsOutputTakeNoTime(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
	request := Request{BaseImage: "prints blanks", CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log(), Timeout: 20 * time.Second}
	if _, err := f.Build(t.Context(), request); err != nil {
		t.Error(err)
	}
	if text := readFile(t, f.log()); len(text) > 30_000 || strings.Count(text, "bytes of this line are left out") != 2 {
		t.Errorf("the log has %d bytes", len(text))
	}
}

func TestWorkerThatDoesNotImport(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "broken")
	_, err := f.Describe(t.Context())
	var failed *SetupError
	if !errors.As(err, &failed) || !strings.Contains(failed.Cause, "No module named 'no_such_module'") || !strings.Contains(failed.Hint(), "does not import") {
		t.Errorf("err = %v, want a SetupError with the import's own", err)
	}
}

// ownerMode makes the test binary a process that owns a pool of worker.py and dies, as a killed run does.
const ownerMode = "own a pool"

func fakeOwner(root string) {
	pool := NewPool(PoolOptions{
		Checkout:    Checkout{Root: root, SHA: someCommit},
		Environment: Environment{Python: os.Getenv("OWNER_PYTHON"), PythonPath: []string{root}},
		Size:        1, Dir: os.Getenv("OWNER_DIR"), Environ: os.Environ(),
	})
	_, err := pool.Build(context.Background(), Request{
		BaseImage: "hangs", CustomTag: "c", Sdist: filepath.Join(root, "prebuilt.tar.gz"), LogPath: filepath.Join(root, "image.log"),
	})
	fmt.Println("owner:", err)
}

// A killed run takes its workers with it, and what they started, though that ignores SIGINT.
func TestWorkersEndWithTheirOwner(t *testing.T) {
	t.Parallel()
	owner, worker := startOwner(t)
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !waitForProcessGroup(worker, 4*time.Second) {
		t.Errorf("process group %d lives on", worker)
		_ = syscall.Kill(-worker, syscall.SIGKILL)
	}
}

// Nobody can be asked anything on a worker's standard input, whatever that of its owner is.
func TestWorkersHaveNoStandardInput(t *testing.T) {
	t.Parallel()
	_, worker := startOwner(t)
	if input, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", worker)); input != os.DevNull {
		t.Errorf("the worker's standard input is %s", input)
	}
}

// startOwner starts a process that owns a pool, with a pipe as its standard input, and waits until its one build hangs in docker.
func startOwner(t *testing.T) (owner *exec.Cmd, worker int) {
	t.Helper()
	f := newPythonFixture(t, "native")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner = exec.Command(self, ownerMode, f.root)
	owner.Env = append(os.Environ(), "OWNER_PYTHON="+f.options.Environment.Python, "OWNER_DIR="+f.options.Dir)
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		owner.Process.Kill()
		owner.Wait()
	})
	f.waitFor(func() bool {
		text, _ := os.ReadFile(f.log())
		return strings.Contains(string(text), "hanging")
	})
	groups := processes(f.options.Dir)
	if len(groups) != 1 {
		t.Fatalf("processes %v, want one worker", groups)
	}
	return owner, groups[0]
}

// processes finds the workers whose program lies in dir: each leads its group.
func processes(dir string) (pids []int) {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		text, _ := os.ReadFile(path)
		if strings.Contains(string(text), dir+"/") {
			var pid int
			if _, err := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err == nil && processGroupAlive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
