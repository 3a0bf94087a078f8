package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hang begins a build that does not end by itself, waits until its docker runs, and gives the worker and, later, the
// build's error.
func (f fixture) hang(name string) (pid int, result <-chan error) {
	f.t.Helper()
	before := processes(f.options.Dir)
	log, failed := filepath.Join(f.root, name+".log"), make(chan error, 1)
	go func() {
		_, err := f.Build(context.WithoutCancel(f.t.Context()), Request{BaseImage: "hangs", CustomTag: "c", Sdist: f.prebuilt(), LogPath: log})
		failed <- err
	}()
	f.waitFor(func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "hanging")
	})
	for _, pid := range processes(f.options.Dir) {
		if !slices.Contains(before, pid) && pid != f.seedPID() {
			return pid, failed
		}
	}
	f.t.Fatal("the build has no worker")
	return 0, nil
}

func (f fixture) seedPID() int {
	if f.seed == nil {
		return 0
	}
	return f.seed.pid
}

// waitFor waits until something is so that nothing tells of.
func (f fixture) waitFor(so func() bool) {
	f.t.Helper()
	for range 3000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatal("it did not come to that")
}

// left is what remains in the workers' TMPDIRs, the seed's among them.
func (f fixture) left() []string {
	found, _ := filepath.Glob(filepath.Join(f.options.Dir, "*", "tmp", "*"))
	return found
}

// The death of a worker is seen at once, though its siblings live, and takes with it all that it had started.
func TestWorkerDeathIsSeen(t *testing.T) { inBothModes(t, workerDeathIsSeen) }

func workerDeathIsSeen(t *testing.T, fork bool) {
	f := newPythonPool(t, "native", PoolOptions{Size: 3, Fork: fork})
	var pids [3]int
	var results [3]<-chan error
	for i := range pids {
		pids[i], results[i] = f.hang(fmt.Sprint(i))
	}
	// The middle one has an older and a younger sibling. Its own siblings do not end by themselves.
	if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var died *WorkerDied
	select {
	case err := <-results[1]:
		if !errors.As(err, &died) || died.How != "signal: killed" || !strings.HasSuffix(died.Tail, "hanging") {
			t.Errorf("err = %v, want the worker's death by signal: killed", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody saw the worker die")
	}
	if lives(pids[1]) || len(f.left()) != 2 {
		t.Errorf("group lives: %t; contexts left: %v, want the siblings' two", lives(pids[1]), f.left())
	}
	for _, i := range []int{0, 2} {
		if !lives(pids[i]) || len(results[i]) != 0 {
			t.Errorf("sibling %d ended too", i)
		}
	}
	if _, err := f.Build(t.Context(), Request{CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}); err != nil {
		t.Errorf("its replacement: %v", err)
	}
	began := time.Now()
	if err := f.Close(); err != nil || time.Since(began) > 8*time.Second {
		t.Errorf("Close: %v after %s", err, time.Since(began))
	}
	for _, i := range []int{0, 2} {
		if err := <-results[i]; !errors.Is(err, errClosed) {
			t.Errorf("sibling %d: %v", i, err)
		}
	}
	if left := processes(f.options.Dir); len(left) != 0 {
		t.Errorf("after Close these processes live: %v", left)
	}
}

// How a worker of either kind ends is told in the same words.
func TestWorkerDeaths(t *testing.T) { inBothModes(t, workerDeaths) }

func workerDeaths(t *testing.T, fork bool) {
	f := newPythonFixture(t, "native", fork)
	for image, how := range map[string]string{"dies": "signal: killed", "exits": "exit status 7"} {
		var died *WorkerDied
		_, err := f.Build(t.Context(), Request{BaseImage: image, CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()})
		if !errors.As(err, &died) || died.How != how {
			t.Errorf("%s: err = %v, want %s", image, err, how)
		}
		if len(f.left()) != 0 {
			t.Errorf("%s: left in TMPDIR: %v", image, f.left())
		}
	}
}

// A worker that dies idle costs no image anything.
func TestIdleWorkerIsReplaced(t *testing.T) { inBothModes(t, idleWorkerIsReplaced) }

func idleWorkerIsReplaced(t *testing.T, fork bool) {
	f := newPythonFixture(t, "native", fork)
	build := func() error {
		_, err := f.Build(t.Context(), Request{CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()})
		return err
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	first := f.idle[0]
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.exited
	if err := build(); err != nil || f.made != 2 {
		t.Errorf("err = %v after %d workers", err, f.made)
	}
}

// Time-out and cancel end docker too, though it ignores SIGINT, and leave nothing in TMPDIR.
func TestWorkerBuildsAreEnded(t *testing.T) { inBothModes(t, workerBuildsAreEnded) }

func workerBuildsAreEnded(t *testing.T, fork bool) {
	f := newPythonFixture(t, "native", fork)
	for _, want := range []error{ErrTimeout, context.Canceled} {
		ctx, cancel := context.WithCancel(t.Context())
		request := Request{BaseImage: "hangs", CustomTag: "c", Sdist: f.prebuilt(), LogPath: filepath.Join(f.root, fmt.Sprint(want)+".log")}
		if want == ErrTimeout {
			request.Timeout = 500 * time.Millisecond
		}
		var group int
		var building sync.WaitGroup
		building.Go(func() {
			if _, err := f.Build(ctx, request); !errors.Is(err, want) {
				t.Errorf("err = %v, want %v", err, want)
			}
		})
		f.waitFor(func() bool { return len(f.left()) > 0 })
		for _, pid := range processes(f.options.Dir) {
			if pid != f.seedPID() {
				group = pid
			}
		}
		if want == context.Canceled {
			cancel()
		}
		building.Wait()
		cancel()
		if group == 0 || lives(group) || len(f.left()) != 0 {
			t.Errorf("group %d lives: %t; left in TMPDIR: %v", group, lives(group), f.left())
		}
	}
}

// The import is paid once; the seed alone names tags; each forked worker has a group, a TMPDIR and descriptors of its own.
func TestForkedWorkersAreTheirOwn(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", PoolOptions{Size: 2, Fork: true})
	if _, err := f.Names(t.Context(), []Request{{CustomTag: "c"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{f.seed.pid}, processes(f.options.Dir)); diff != "" {
		t.Errorf("processes after naming (-want +got):\n%s", diff)
	}
	for i := range 2 {
		pid, _ := f.hang(fmt.Sprint(i))
		if group, err := syscall.Getpgid(pid); group != pid || err != nil {
			t.Errorf("worker %d is in group %d: %v", pid, group, err)
		}
		own := filepath.Join(f.options.Dir, fmt.Sprint(i+1))
		if found, _ := filepath.Glob(filepath.Join(own, "tmp", "agent-build-*")); len(found) != 1 {
			t.Errorf("worker %d has its build context in none of its own TMPDIR %s: %v", pid, own, f.left())
		}
		said := readFile(t, filepath.Join(f.root, fmt.Sprint(i)+".log"))
		if want := "docker sees " + own + "/tmp and " + own + "/cache\n"; !strings.Contains(said, want) {
			t.Errorf("want %q in:\n%s", want, said)
		}
	}
	if diff := cmp.Diff("noise at import\n", readFile(t, f.options.LogPath)); diff != "" {
		t.Errorf("the workers' own log (-want +got):\n%s", diff)
	}
}

// An idle worker's descriptors are 0 to 2 and its own socket: a copy of another's would hide that one's end. Nobody can
// be asked anything on 0. Nor does it catch the seed's signals.
func TestForkedWorkersInheritNothing(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "descriptors", true)
	if _, err := f.Build(t.Context(), Request{CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}); err != nil {
		t.Fatal(err)
	}
	sockets, others := 0, []string{}
	folder := fmt.Sprintf("/proc/%d/fd", f.idle[0].pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(folder, e.Name()))
		switch {
		case target == os.DevNull, e.Name() != "0" && target == f.options.LogPath:
		case strings.HasPrefix(target, "socket:"):
			sockets++
		default:
			others = append(others, target)
		}
	}
	if sockets != 1 || len(others) != 0 {
		t.Errorf("a worker has %d sockets, want 1, and besides %v", sockets, others)
	}
	status := readFile(t, fmt.Sprintf("/proc/%d/status", f.idle[0].pid))
	var caught uint64
	if m := regexp.MustCompile(`SigCgt:\s+([0-9a-f]+)`).FindStringSubmatch(status); m != nil {
		caught, _ = strconv.ParseUint(m[1], 16, 64)
	}
	// The C library catches two of the signals from 32 on.
	if want := uint64(1<<(syscall.SIGINT-1) | 1<<(syscall.SIGTERM-1)); caught&0x7fffffff != want {
		t.Errorf("a worker catches the signals %x, want %x", caught, want)
	}
}

// A process with a second thread is not forked: that could hang. It is said, and builds are as before.
func TestThreadsForbidForks(t *testing.T) {
	t.Parallel()
	warned := make(chan string, 9)
	f := newPythonPool(t, "threaded", PoolOptions{Size: 1, Fork: true, Warn: func(s string) { warned <- s }})
	for range 2 {
		if _, err := f.Build(t.Context(), Request{CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}); err != nil {
			t.Fatal(err)
		}
		f.pop().end() // so that the second build needs another worker
	}
	if len(warned) != 1 {
		t.Fatalf("%d warnings, want 1", len(warned))
	}
	const want = "the SDK's process has 2 threads after the import"
	if got := <-warned; !strings.Contains(got, want) || !strings.Contains(got, "price list") || !strings.Contains(readFile(t, f.options.LogPath), want) {
		t.Errorf("warning and log do not say %q: %s", want, got)
	}
	if n := strings.Count(readFile(t, f.options.LogPath), "noise at import"); n != 3 {
		t.Errorf("%d imports, want the seed's and two workers'", n)
	}
}

// When the seed dies its workers end, with what they started. The run goes on with spawned ones.
func TestSeedDies(t *testing.T) {
	t.Parallel()
	warned := make(chan string, 9)
	f := newPythonPool(t, "native", PoolOptions{Size: 1, Fork: true, Warn: func(s string) { warned <- s }})
	worker, result := f.hang("0")
	if err := syscall.Kill(f.seed.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var died *WorkerDied
	if err := <-result; !errors.As(err, &died) {
		t.Errorf("err = %v, want the worker's death", err)
	}
	if lives(worker) {
		t.Error("the worker's group lives on")
	}
	if _, err := f.Names(t.Context(), []Request{{CustomTag: "c"}}); err != nil {
		t.Errorf("naming without the seed: %v", err)
	}
	if _, err := f.Build(t.Context(), Request{CustomTag: "c", Sdist: f.prebuilt(), LogPath: f.log()}); err != nil {
		t.Errorf("building without the seed: %v", err)
	}
	if len(warned) != 1 || !strings.Contains(<-warned, "signal: killed") {
		t.Error("no warning that the seed was killed")
	}
}

// The kernel alone ends a worker whose seed is gone, with what it started, also when nobody else can: the owner of both
// is stopped here.
func TestWorkersEndWithTheirSeed(t *testing.T) {
	t.Parallel()
	owner, groups := startOwner(t, true)
	if err := owner.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer owner.Process.Kill()
	seed := min(groups[0], groups[1])
	if err := syscall.Kill(seed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	endAll(t, groups)
}

// 200 builds in 8 workers, without a hang.
func TestForkedWorkersBuildMany(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", PoolOptions{Size: 8, Fork: true})
	buildMany(t, f.Pool, func(i int) Request {
		return Request{CustomTag: fmt.Sprint("t", i), Sdist: f.prebuilt(), Timeout: time.Minute, LogPath: filepath.Join(f.root, fmt.Sprintf("%d.log", i))}
	})
	if len(f.left()) != 0 || f.made != 8 {
		t.Errorf("%d workers; left in TMPDIR: %v", f.made, f.left())
	}
}

// buildMany builds 200 images at once, as far as the pool lets it.
func buildMany(t *testing.T, pool *Pool, request func(i int) Request) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			r := request(i)
			got, err := pool.Build(t.Context(), r)
			if err != nil || len(got.Tags) != 2 || !strings.Contains(got.Tags[0], r.CustomTag) || got.SdistBuilds != 0 {
				t.Errorf("image %d: %+v, %v", i, got, err)
			}
		})
	}
	all.Wait()
}
