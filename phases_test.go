package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// phases are those of a run, in their order.
var phases = []string{
	"checkout", "environment", "import", "resolve-tags", "check-registry", "builds", "references", "verification", "report",
}

// whole is a run that has all of its phases: it builds two references, rebases the other images, and verifies one. Its SDK,
// uv and docker are stand-ins, and the registry is in this process. One of them waits when a phase begins that is held.
type whole struct {
	process
	registry string        // its host
	log      *bytes.Buffer // valid when copied is closed
	copied   chan struct{}
	output   *os.File // the end of its output that is read
	ended    chan struct{}
	outputs  sync.WaitGroup // who reads its outputs while the report is held
}

// held waits in a stand-in while a phase is held. It ends with the test that has the folder.
const held = `#!/bin/sh
mv "$HOME/hold/$1" "$HOME/hold/reached" 2>/dev/null || exit 0
while [ -d "$HOME/hold" ] && [ ! -e "$HOME/hold/release" ]; do sleep 0.02; done
`

// heldPython begins the SDK's build module, and heldTags ends it.
const heldPython = `import os, time

def held(phase):
    hold = os.environ["HOME"] + "/hold/"
    try:
        os.rename(hold + phase, hold + "reached")
    except OSError:
        return
    while os.path.isdir(hold) and not os.path.exists(hold + "release"):
        time.sleep(0.02)

held("import")
`

const heldTags = `
all_tags = BuildOptions.all_tags
BuildOptions.all_tags = property(lambda self: held("resolve-tags") or all_tags.fget(self))
`

const standInGit = `#!/bin/sh
case " $* " in *" fetch "*) held checkout ;; esac
exec GIT "$@"
`

const standInUV = `#!/bin/sh
case $1 in
sync)
	held environment
	mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
	ln -s "$(command -v python3)" "$UV_PROJECT_ENVIRONMENT/bin/python"
	;;
build)
	mkdir "$4/unknown-0.0.0"
	cp -R openhands-agent-server "$4/unknown-0.0.0"
	tar -C "$4" -czf "$4/unknown-0.0.0.tar.gz" unknown-0.0.0
	;;
esac
`

// standInBuildx is the docker command. It looks into no eval-base: what it says of one is what the SDK's Dockerfile makes.
const standInBuildx = `#!/bin/sh
[ "$2" = build ] || exit 0
case "$*" in
*type=local,dest=*)
	for word; do case $word in type=local,dest=*) to=${word#type=local,dest=} ;; esac; done
	cat >/dev/null
	: >"$to/paths"
	echo openhands:x:10001:10001::/: >"$to/passwd"
	echo openhands:x:10001: >"$to/group"
	exit
	;;
*-verify-*) held verification ;;
*"--target base-image-minimal"*GIT_SHA=unknown*) held builds ;;
*"--target source-minimal"*) held references ;;
esac
echo "#9 exporting to image" >&2
exec standin-push "$@"
`

// standInPush is what the stand-in for docker pushes images with.
func standInPush() {
	var target, base, sha string
	var tags []string
	for i, word := range os.Args[1:] {
		switch os.Args[i] {
		case "--target":
			target = word
		case "--tag":
			tags = append(tags, word)
		case "--build-arg":
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "BASE_IMAGE":
				base = value
			case "OPENHANDS_BUILD_GIT_SHA":
				sha = value
			}
		}
	}
	_, instance, _ := strings.Cut(base, "/bench/")
	instance, _, _ = strings.Cut(instance, ":")
	img := registrytest.EvalBase(registrytest.Base(instance), sha, instance+sha)
	if target != "base-image-minimal" {
		img = registrytest.Final(img, "agent")
	}
	for _, tag := range tags {
		if err := registrytest.Push(http.DefaultTransport, tag, img); err != nil {
			fmt.Fprintln(os.Stderr, "ERROR: pushing", tag+":", err)
			os.Exit(1)
		}
	}
}

// standIns makes the folder of the stand-ins' programs, and the SDK's repository.
func standIns(t *testing.T) (bin, sdk string) {
	t.Helper()
	dir := t.TempDir()
	bin, sdk = filepath.Join(dir, "bin"), filepath.Join(dir, "sdk")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"bin/held": held, "bin/git": strings.ReplaceAll(standInGit, "GIT", git), "bin/uv": standInUV, "bin/docker": standInBuildx,
		"sdk/variant": "native",
	}
	const fake, module = "internal/sdk/testdata/fakesdk", "openhands/agent_server/docker/build.py"
	text, err := os.ReadFile(filepath.Join(fake, module))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"sdk", "sdk/openhands-agent-server"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(fake)); err != nil {
			t.Fatal(err)
		}
	}
	files["sdk/openhands-agent-server/"+module] = heldPython + strings.Replace(string(text), "Path(sdist).read_text()", "str(sdist)", 1) + heldTags
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=one"},
	} {
		cmd := exec.Command(git, args...)
		cmd.Dir = sdk
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return bin, sdk
}

var wholeInstances = []string{"django__django-11133", "django__django-11179", "sympy__sympy-20590", "psf__requests-1142"}

// newWhole is a run that has not begun.
func newWhole(t *testing.T, bin, sdk string) *whole {
	t.Helper()
	w := &whole{}
	images := registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)
	images.Deletes = true
	images.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/eval/manifests/") {
			w.held("check-registry", r.Context().Done())
		}
		return false
	}
	server := httptest.NewServer(images)
	t.Cleanup(server.Close)
	w.registry = strings.TrimPrefix(server.URL, "http://")
	for _, instance := range wholeInstances {
		if err := registrytest.Push(http.DefaultTransport, w.registry+"/bench/"+instance+":latest", registrytest.Base(instance)); err != nil {
			t.Fatal(err)
		}
	}
	w.process = newProcess(t, "eval-images", "--sdk-repository", "file://"+sdk, "--sdk-ref", "main",
		"--builder", "tcp://"+w.registry, // which accepts connections
		"--image", w.registry+"/eval", "--base-image-template", w.registry+"/bench/{instance_id}:latest",
		"--instance-ids", strings.Join(wholeInstances, ","), "--max-workers", "2",
		"--registry-username", "u", "--registry-password", "secret")
	w.Env[0] = "PATH=" + bin + ":" + os.Getenv("PATH")
	return w
}

// held does in this process what the stand-ins do.
func (w *whole) held(phase string, gone <-chan struct{}) {
	hold := filepath.Join(w.dir, "hold")
	if os.Rename(filepath.Join(hold, phase), filepath.Join(hold, "reached")) != nil {
		return
	}
	for {
		if _, err := os.Stat(filepath.Join(hold, "release")); err == nil {
			return
		}
		select {
		case <-gone:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// start starts the run, which will wait in a phase; in none when that is empty.
func (w *whole) start(t *testing.T, phase string) {
	t.Helper()
	hold := filepath.Join(w.dir, "hold")
	if err := errors.Join(os.RemoveAll(hold), os.Mkdir(hold, 0o755)); err != nil {
		t.Fatal(err)
	}
	outputs := filepath.Join(w.dir, "output")
	_ = os.Remove(outputs)
	switch phase {
	case "":
	case "report": // which waits for a reader of its outputs
		if err := syscall.Mkfifo(outputs, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		if err := os.WriteFile(filepath.Join(hold, phase), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.output, w.Stdout, w.Stderr = reader, writer, writer
	begin := time.Now()
	err = w.Start()
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Process.Kill() })
	log, copied, ended, cmd := &bytes.Buffer{}, make(chan struct{}), make(chan struct{}), w.Cmd
	w.log, w.copied, w.ended = log, copied, ended
	go func() {
		defer close(copied)
		_, _ = io.Copy(log, reader)
	}()
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	if phase == "report" {
		go w.awaitReport(begin, ended)
	}
}

// awaitReport says that the report has begun when the lock file, which is written before the outputs, is there.
func (w *whole) awaitReport(begin time.Time, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(5 * time.Millisecond):
		}
		info, err := os.Stat(filepath.Join(w.folder(), ledger.LockFileName))
		if err == nil && info.ModTime().After(begin) {
			_ = os.WriteFile(filepath.Join(w.dir, "hold", "reached"), nil, 0o644)
			return
		}
	}
}

// folder is where the run's record is.
func (w *whole) folder() string {
	return filepath.Join(w.Dir, "builds/princeton-nlp/SWE-bench_Verified/test")
}

func (w *whole) running() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// waitFor waits until the held phase has begun, or the run has ended. It tells which.
func (w *whole) waitFor(t *testing.T) (begun bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); w.running(); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.dir, "hold", "reached")); err == nil {
			return true
		}
		if time.Now().After(deadline) {
			_ = w.Process.Kill()
			t.Fatalf("the phase does not begin:\n%s", w.said())
		}
	}
	return false
}

// release lets the held phase go on.
func (w *whole) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "hold", "release"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "output")
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		return
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.outputs.Go(func() {
		defer pipe.Close()
		var text bytes.Buffer
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(&text, pipe)
		}()
		<-w.ended
		_ = pipe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		<-read
		if err := errors.Join(os.Remove(path), os.WriteFile(path, text.Bytes(), 0o644)); err != nil {
			t.Error(err)
		}
	})
}

// endsWithin waits for the end of the run, and checks its exit code.
func (w *whole) endsWithin(t *testing.T, limit time.Duration, code int) {
	t.Helper()
	begin := time.Now()
	select {
	case <-w.ended:
	case <-time.After(limit):
		_ = w.Process.Kill()
		t.Errorf("it has not ended within %s", limit)
	}
	<-w.ended
	w.outputs.Wait()
	if got := w.ProcessState.ExitCode(); got != code {
		t.Errorf("it ends %.1f s later with %v, want exit status %d:\n%s", time.Since(begin).Seconds(), w.ProcessState, code, w.said())
	}
}

// said is what the run printed, as far as it was read.
func (w *whole) said() string {
	w.output.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	<-w.copied
	return w.log.String()
}

// left are the commands of the processes that the run has started and that have not ended.
func (w *whole) left() (commands []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if environ, _ := os.ReadFile(path); bytes.Contains(environ, []byte("HOME="+w.dir+"\x00")) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			commands = append(commands, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return commands
}

// checkNothingLeft finds processes and temporary files of the run.
func (w *whole) checkNothingLeft(t *testing.T) {
	t.Helper()
	if left := w.left(); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	for _, folder := range []string{filepath.Join(w.dir, "tmp"), w.memory} {
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("temporary files are left in %s: %v, %v", folder, left, err)
		}
	}
}

// checkRecord checks the record of a run: each image is in the ledger, and what counts as built is in the registry.
func (w *whole) checkRecord(t *testing.T, cancelled bool) {
	t.Helper()
	texts := w.records(t)
	var summary struct{ Run struct{ Cancelled bool } }
	if err := json.Unmarshal([]byte(texts["summary"]), &summary); err != nil || summary.Run.Cancelled != cancelled {
		t.Errorf("the summary's file says cancelled: %v (%v), want %v", summary.Run.Cancelled, err, cancelled)
	}
	verdict := "## ✅ "
	if cancelled {
		verdict = "## ⚠️ Cancelled after "
	}
	for name, want := range map[string]string{"outputs": "failed-instances<<", "lock file": `"images": {`, "step summary": verdict} {
		if !strings.Contains(texts[name], want) {
			t.Errorf("%s does not have %q:\n%s", name, want, texts[name])
		}
	}
	entries, err := ledger.Read(filepath.Join(w.folder(), ledger.FileName))
	if err != nil || len(entries) != len(wholeInstances) {
		t.Errorf("the ledger has %d images, %v; want %d", len(entries), err, len(wholeInstances))
	}
	for _, e := range entries {
		switch there := e.Error == ""; {
		case there:
			w.checkImage(t, e)
		case !cancelled:
			t.Errorf("%s failed: %s", e.InstanceID, e.Error)
		}
	}
}

func (w *whole) checkImage(t *testing.T, e ledger.Entry) {
	t.Helper()
	for _, tag := range e.Tags {
		reference, err := name.ParseReference(tag)
		if err != nil {
			t.Fatal(err)
		}
		found, err := remote.Head(reference)
		if err != nil || found.Digest.String() != string(e.Digest) {
			t.Errorf("%s: the registry has %v for %s (%v), the ledger says %s", e.InstanceID, found, tag, err, e.Digest)
		}
	}
}

// atOnce is how many runs of these tests go at once. They mostly wait.
const atOnce = 6

// A run that is told to end, at any moment, ends within the runner's patience. It leaves its record, no process and no
// temporary file. A terminal that is gone reads nothing any more. Who only stops reading does not end a run; all that is printed
// later is lost then, so there are only two such cases.
func TestSignalsInEachPhase(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed of the moments is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	bin, sdk := standIns(t)
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, phase := range phases {
		signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
		if phase == "checkout" || phase == "builds" {
			signals = append(signals, syscall.SIGPIPE)
		}
		for _, signal := range signals {
			after := moment(random)
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				t.Run(phase+", "+signal.String(), func(t *testing.T) { checkSignal(t, newWhole(t, bin, sdk), phase, signal, after) })
			})
		}
	}
	all.Wait()
}

// moment is some time after a phase's begin.
func moment(random *rand.Rand) time.Duration {
	return time.Duration(random.Int64N(int64(300 * time.Millisecond)))
}

func checkSignal(t *testing.T, w *whole, phase string, signal syscall.Signal, after time.Duration) {
	w.start(t, phase)
	if !w.waitFor(t) {
		t.Fatalf("the run ended before:\n%s", w.said())
	}
	time.Sleep(after)
	if signal == syscall.SIGHUP || signal == syscall.SIGPIPE {
		w.output.Close()
	}
	// What was there before the report is a whole run.
	code, limit := 130, 8*time.Second
	if phase == "report" || signal == syscall.SIGPIPE {
		code, limit = 0, time.Minute
	}
	if signal != syscall.SIGPIPE {
		if err := w.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if code == 0 {
		w.release(t)
	}
	w.endsWithin(t, limit, code)
	w.checkNothingLeft(t)
	w.checkRecord(t, code != 0)
}

// Runs that are killed, each in another phase and some time later, leave nothing that keeps the next one from making what is
// missing.
func TestKilledRunsConverge(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed of the moments is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	bin, sdk := standIns(t)
	w := newWhole(t, bin, sdk)
	command := *w.Cmd
	for _, phase := range phases {
		w.Cmd = &exec.Cmd{Path: command.Path, Args: command.Args, Dir: command.Dir, Env: command.Env}
		w.start(t, phase)
		begun, released := w.waitFor(t), false
		if kill, release := moment(random), moment(random); begun && release < kill {
			time.Sleep(release)
			w.release(t)
			released = true
			time.Sleep(kill - release)
		} else if begun {
			time.Sleep(kill)
		}
		_ = w.Process.Kill()
		<-w.ended
		if !released {
			w.release(t)
		}
		w.outputs.Wait()
		for deadline := time.Now().Add(8 * time.Second); len(w.left()) > 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("killed in %s, it leaves %s", phase, w.left())
			}
		}
	}
	w.Cmd = &exec.Cmd{Path: command.Path, Args: command.Args, Dir: command.Dir, Env: command.Env}
	w.start(t, "")
	w.endsWithin(t, time.Minute, 0)
	w.checkNothingLeft(t)
	w.checkRecord(t, false)
}
