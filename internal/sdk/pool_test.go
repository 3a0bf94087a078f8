package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/logfile"
)

const someCommit = "0123456789abcdef0123456789abcdef01234567"

// fixture is a pool of fake workers.
type fixture struct {
	*Pool
	t    *testing.T
	root string
}

func newFixture(t *testing.T, size int, start string) fixture {
	t.Helper()
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "pids"), 0o755), os.Mkdir(filepath.Join(root, "children"), 0o755),
		os.WriteFile(filepath.Join(root, "start"), []byte(start), 0o644)); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool := NewPool(PoolOptions{
		Checkout:    Checkout{Root: root, SHA: someCommit},
		Environment: Environment{Python: self, Version: "3.13"},
		Size:        size, Dir: shortTempDir(t), Environ: os.Environ(), CacheMode: "off",
		LogPath: filepath.Join(root, "workers.log"),
	})
	t.Cleanup(func() { pool.Close() })
	return fixture{pool, t, root}
}

// shortTempDir is one that leaves room for a socket's name; t.TempDir has the test's name in it.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "w")
}

// started lists the process ids of all workers that ever started.
func (f fixture) started() []int { return f.pids("pids") }

func (f fixture) pids(folder string) []int {
	f.t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.root, folder))
	if err != nil {
		f.t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, _ := strconv.Atoi(e.Name())
		pids = append(pids, pid)
	}
	return pids
}

// living counts the workers and their children that run; a zombie does not.
func (f fixture) living() int {
	n := 0
	for _, pid := range append(f.started(), f.pids("children")...) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && !strings.Contains(string(status), "State:\tZ") {
			n++
		}
	}
	return n
}

// folders counts the workers' folders, each with a TMPDIR.
func (f fixture) folders() int {
	found, _ := filepath.Glob(filepath.Join(f.options.Dir, "*", "tmp"))
	return len(found)
}

func (f fixture) log() string { return filepath.Join(f.root, "image.log") }

func TestPoolStartsWorkersOnlyWhenNeeded(t *testing.T) {
	f := newFixture(t, 3, "")
	if n := len(f.started()); n != 0 {
		t.Fatalf("%d workers before the first request", n)
	}
	got, err := f.Describe(t.Context())
	want := Description{SDKVersion: "1.2.3", Seam: SeamNativeField, OptionNames: []string{"a"}, ImportSeconds: 1.5}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("Describe: %v (-want +got):\n%s", err, diff)
	}
	names, err := f.Names(t.Context(), []Request{{}, {}})
	if err != nil || len(names) != 2 {
		t.Fatalf("Names = %v, %v", names, err)
	}
	for range 3 {
		if _, err := f.Build(t.Context(), Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.started()); n != 1 {
		t.Errorf("%d workers for one request after the other, want 1", n)
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			tag := fmt.Sprint(i)
			got, err := f.Build(t.Context(), Request{BaseImage: "slow", CustomTag: tag})
			if diff := cmp.Diff(Response{Tags: []string{"i:" + tag}, Telemetry: map[string]float64{"cached_step_count": 3}}, got); diff != "" || err != nil {
				t.Errorf("Build: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	all.Wait()
	if n := len(f.started()); n != 3 {
		t.Errorf("%d workers for 12 builds at once, want Size = 3", n)
	}
	if n := f.living(); n != 3 {
		t.Errorf("%d of them live", n)
	}
	if err := f.Close(); err != nil || f.living() != 0 {
		t.Errorf("after Close (%v) %d workers live", err, f.living())
	}
	if _, err := os.Stat(f.options.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Close left the pool's folder: %v", err)
	}
	if _, err := f.Build(t.Context(), Request{}); err == nil {
		t.Error("a closed pool builds")
	}
}

// What a worker reports costs no worker.
func TestPoolReportsFailures(t *testing.T) {
	f := newFixture(t, 1, "")
	cases := []struct {
		image string
		want  error
		text  string
	}{
		{
			"fails", &BuildFailure{
				ReturnCode: 17, Command: []string{"docker", "buildx", "build", "--push"}, Tail: "one\nlast line",
				Telemetry: map[string]float64{"cached_step_count": 2}, SdistBuilds: 1,
			},
			"building on fails: docker buildx build ended with 17: last line",
		},
		{"raises", &SDKError{Type: "KeyError", Message: "x", Traceback: "Traceback"}, "building on raises: the SDK raised KeyError: x"},
		{"refused", &OptionError{Problems: []string{"no option b"}, Valid: []string{"a"}}, "building on refused: no option b"},
	}
	for _, c := range cases {
		t.Run(c.image, func(t *testing.T) {
			_, err := f.Build(t.Context(), Request{BaseImage: c.image, LogPath: f.log()})
			if err == nil || err.Error() != c.text {
				t.Errorf("err = %v, want %s", err, c.text)
			}
			if diff := cmp.Diff(c.want, errors.Unwrap(err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if n := len(f.started()); n != 1 {
		t.Errorf("%d workers, want the first to live on", n)
	}
}

// A worker that ends, or says what is no answer, costs the one build; the next one has a new worker.
func TestPoolReplacesDeadWorkers(t *testing.T) {
	cases := []struct{ image, how string }{
		{"killed", "signal: killed"},
		{"exits", "exit status 7"},
		{"garbage", "no answer: invalid character"},
		{"floods", "no answer: its message has more than 64 MB"},
		{"stubborn orphan", "exit status 8"},
	}
	for _, c := range cases {
		t.Run(c.image, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1, "")
			_, err := f.Build(t.Context(), Request{BaseImage: c.image, LogPath: f.log()})
			var died *WorkerDied
			if !errors.As(err, &died) || !strings.Contains(died.How, c.how) || died.Tail != "this is "+c.image {
				t.Fatalf("err = %#v, want a WorkerDied by %s with its last words", err, c.how)
			}
			if f.living() != 0 || f.folders() != 0 {
				t.Errorf("%d processes and %d folders are left", f.living(), f.folders())
			}
			if _, err := f.Build(t.Context(), Request{LogPath: f.log()}); err != nil {
				t.Errorf("the next build: %v", err)
			}
			if n := len(f.started()); n != 2 {
				t.Errorf("%d workers started, want 2", n)
			}
		})
	}
}

// A worker that dies while it is idle costs nothing.
func TestPoolMissesIdleWorkers(t *testing.T) {
	f := newFixture(t, 1, "")
	if _, err := f.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := f.started()[0]
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-f.idle[0].exited
	if _, err := f.Build(t.Context(), Request{}); err != nil {
		t.Error(err)
	}
}

func TestPoolEndsBuilds(t *testing.T) {
	cases := []struct {
		name, image string
		end         func(f fixture, r *Request, cancel func())
		want        error
	}{
		{"timeout", "hangs", func(_ fixture, r *Request, _ func()) { r.Timeout = 200 * time.Millisecond }, ErrTimeout},
		{"timeout with a child that ignores SIGINT", "stubborn child", func(_ fixture, r *Request, _ func()) { r.Timeout = 600 * time.Millisecond }, ErrTimeout},
		{"cancel", "hangs", func(_ fixture, _ *Request, cancel func()) { time.AfterFunc(200*time.Millisecond, cancel) }, context.Canceled},
		{"no output", "stalls", func(_ fixture, r *Request, _ func()) {
			r.Timeout, r.StallTimeout = 10*time.Second, 300*time.Millisecond
		}, logfile.ErrStalled},
		{"cancel with a child that ignores SIGINT", "stubborn child", func(_ fixture, _ *Request, cancel func()) { time.AfterFunc(600*time.Millisecond, cancel) }, context.Canceled},
		{"close", "stubborn child", func(f fixture, _ *Request, _ func()) { time.AfterFunc(600*time.Millisecond, func() { f.Close() }) }, errClosed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1, "")
			if _, err := f.Describe(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			request := Request{BaseImage: c.image, LogPath: f.log()}
			began := time.Now()
			c.end(f, &request, func() { cancel(errors.New("the user said so")) })
			_, err := f.Build(ctx, request)
			if !errors.Is(err, c.want) {
				t.Errorf("err = %v, want %v", err, c.want)
			}
			var died *WorkerDied
			if errors.As(err, &died) {
				t.Errorf("err = %v: a worker that we ended did not die", err)
			}
			if took := time.Since(began); took > 600*time.Millisecond+4*time.Second {
				t.Errorf("it took %s", took)
			}
			if f.living() != 0 || f.folders() != 0 {
				t.Errorf("%d processes and %d folders are left", f.living(), f.folders())
			}
			if text, _ := os.ReadFile(f.log()); !strings.Contains(string(text), "[eval-images] ended after") {
				t.Errorf("the image's log does not say what ended the build:\n%s", text)
			}
		})
	}
}

// A base image may print a line of any length.
func TestLogOfABuildKeepsUpWithALongLine(t *testing.T) {
	f := newFixture(t, 1, "")
	if _, err := f.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := f.Build(t.Context(), Request{BaseImage: "a long line", LogPath: f.log(), Timeout: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("it took %d bytes of memory", took)
	}
	text := readFile(t, f.log())
	if len(text) > 20_000 || !strings.HasPrefix(text, "this is a long line\nxxx") || !strings.HasSuffix(text, "more bytes of this line are left out\nthe end\n") {
		t.Errorf("the log has %d bytes and ends in %q", len(text), text[max(0, len(text)-100):])
	}
}

func TestPoolStartErrors(t *testing.T) {
	cases := []struct{ start, cause, hint string }{
		{"exit", "exit status 3) after saying: ImportError: no such thing", "does not import"},
		{"garbage", "no answer", "workers.log"},
		{"import error", "the SDK raised ModuleNotFoundError: No module named 'x'", "does not import"},
	}
	for _, c := range cases {
		t.Run(c.start, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 2, c.start)
			_, err := f.Describe(t.Context())
			var failed *SetupError
			if !errors.As(err, &failed) || !strings.Contains(failed.Cause, c.cause) || !strings.Contains(failed.Hint(), c.hint) {
				t.Errorf("err = %#v\nwant a SetupError because of %q, hint %q", err, c.cause, c.hint)
			}
			if _, err := f.Build(t.Context(), Request{}); !errors.As(err, &failed) {
				t.Errorf("Build after a failed import: %v", err)
			}
			if f.living() != 0 || f.folders() != 0 || len(f.started()) != 1 {
				t.Errorf("%d processes and %d folders are left of %d", f.living(), f.folders(), len(f.started()))
			}
		})
	}
}

func TestPoolCancelsImports(t *testing.T) {
	for _, start := range []string{"never connect", "never import"} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1, start)
			ctx, cancel := context.WithCancel(t.Context())
			f.Start(ctx)
			for len(f.started()) == 0 {
				time.Sleep(time.Millisecond)
			}
			began := time.Now()
			cancel()
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if _, err := f.Describe(t.Context()); !errors.Is(err, context.Canceled) {
				t.Errorf("Describe: %v, want the context's error", err)
			}
			if took := time.Since(began); took > 4*time.Second || f.living() != 0 {
				t.Errorf("after %s %d workers live", took, f.living())
			}
		})
	}
}

func TestPoolRefusesUnknownCommits(t *testing.T) {
	for _, sha := range []string{"", "unknown", someCommit[:39]} {
		pool := NewPool(PoolOptions{Checkout: Checkout{SHA: sha}, Dir: shortTempDir(t)})
		if _, err := pool.Describe(t.Context()); err == nil {
			t.Errorf("a pool at commit %q starts: its tags would carry it", sha)
		}
	}
}

// Workers and what they start see what they need, and no more.
func TestWorkerEnvironment(t *testing.T) {
	f := newFixture(t, 1, "")
	f.options.Environ = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/home/x", "https_proxy=http://p", "SSL_CERT_FILE=/c", "UV_CACHE_DIR=/u",
		"DOCKER_CONFIG=/d", "BUILDX_BUILDER=b", "GITHUB_SHA=" + strings.Repeat("9", 40), "SDK_SHA=wrong",
		"UV_INDEX_X_PASSWORD=secret", "DOCKER_AUTH_CONFIG=secret", "GITHUB_TOKEN=secret", "INPUT_REGISTRY-PASSWORD=secret",
		"ACTIONS_RUNTIME_TOKEN=secret", "GITHUB_OUTPUT=/o", "GITHUB_ENV=/e", "CI=true", "GITHUB_ACTIONS=true", "DEBUG=1",
		"DEBUG_LLM=1", "LOG_TO_FILE=1", "LOG_JSON=1", "VIRTUAL_ENV=/v", "PYTHONPATH=/evil", "BUILDKIT_PROGRESS=tty",
		"UV_PROJECT=/other", "UV_WORKING_DIR=/other", "UV_NO_SOURCES=1", "UV_OFFLINE=1", "UV_INDEX_X_USERNAME=me",
		"PYTHONHOME=/other", "GIT_DIR=/other", "GIT_WORK_TREE=/other",
	}
	f.options.Environment.PythonPath = []string{"/a", "/b"}
	f.options.CacheMode = "min"
	got, err := f.Build(t.Context(), Request{BaseImage: "environment"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, variable := range got.Tags {
		name, value, _ := strings.Cut(variable, "=")
		seen[name] = value
	}
	own := filepath.Join(f.options.Dir, "1")
	want := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": "/home/x", "https_proxy": "http://p", "SSL_CERT_FILE": "/c", "UV_CACHE_DIR": "/u",
		"UV_OFFLINE": "1", "UV_INDEX_X_USERNAME": "me",
		"DOCKER_CONFIG": "/d", "BUILDX_BUILDER": "b", "SDK_SHA": someCommit, "GITHUB_SHA": someCommit,
		"SDK_REF": "unknown", "GITHUB_REF": "unknown", "PYTHONPATH": "/a:/b", "PYTHONUNBUFFERED": "1", "COLUMNS": "200",
		"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1", "OPENHANDS_BUILDKIT_CACHE_MODE": "min",
		"BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "UV_PYTHON": "3.13", "UV_PYTHON_DOWNLOADS": "never",
		"TMPDIR": filepath.Join(own, "tmp"), "BUILD_CACHE_DIR": filepath.Join(own, "cache"), "DOCKER_DEFAULT_PLATFORM": "linux/amd64",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}
