package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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
		if !slices.Contains(before, pid) {
			return pid, failed
		}
	}
	f.t.Fatal("the build has no worker")
	return 0, nil
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

// left is what remains in the workers' TMPDIRs.
func (f fixture) left() []string {
	found, _ := filepath.Glob(filepath.Join(f.options.Dir, "*", "tmp", "*"))
	return found
}

// The death of a worker is seen at once, though its siblings live, and takes with it all that it had started.
func TestWorkerDeathIsSeen(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", 3)
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
	if processGroupAlive(pids[1]) || len(f.left()) != 2 {
		t.Errorf("group lives: %t; contexts left: %v, want the siblings' two", processGroupAlive(pids[1]), f.left())
	}
	for _, i := range []int{0, 2} {
		if !processGroupAlive(pids[i]) || len(results[i]) != 0 {
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

// The error says how a worker ended.
func TestWorkerDeaths(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
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
func TestIdleWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
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
func TestWorkerBuildsAreEnded(t *testing.T) {
	t.Parallel()
	f := newPythonFixture(t, "native")
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
			group = pid
		}
		if want == context.Canceled {
			cancel()
		}
		building.Wait()
		cancel()
		if group == 0 || processGroupAlive(group) || len(f.left()) != 0 {
			t.Errorf("group %d lives: %t; left in TMPDIR: %v", group, processGroupAlive(group), f.left())
		}
	}
}

// Each worker imports the SDK by itself, beside the other's build, and has a group, a TMPDIR and a cache of its own.
func TestWorkersAreTheirOwn(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", 2)
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
		if diff := cmp.Diff(strings.Repeat("noise at import\n", i+1), readFile(t, f.options.LogPath)); diff != "" {
			t.Errorf("the workers' own log after %d builds (-want +got):\n%s", i+1, diff)
		}
	}
}

// A worker has one socket, its own: a copy of another worker's would hide that one's end.
func TestWorkersInheritNoSocket(t *testing.T) {
	t.Parallel()
	f := newPythonPool(t, "native", 2)
	f.hang("0")
	second, _ := f.hang("1")
	folder := fmt.Sprintf("/proc/%d/fd", second)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var sockets []string
	for _, e := range entries {
		if target, _ := os.Readlink(filepath.Join(folder, e.Name())); strings.HasPrefix(target, "socket:") {
			sockets = append(sockets, target)
		}
	}
	if len(sockets) != 1 {
		t.Errorf("the second worker has the sockets %v, want one", sockets)
	}
}

// lateConn takes a second for a deadline in the past.
type lateConn struct{ net.Conn }

func (c lateConn) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		time.Sleep(time.Second)
	}
	return c.Conn.SetDeadline(t)
}

// A context that ends as the answer arrives does not end the worker's next request.
func TestLateDeadlineSparesTheNextRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, its := net.Pipe()
		defer its.Close()
		w := &worker{conn: lateConn{ours}, incoming: &io.LimitedReader{R: ours}, exited: make(chan struct{})}
		w.answers = json.NewDecoder(w.incoming)
		go func() {
			for lines := bufio.NewScanner(its); lines.Scan(); {
				if lines.Text() == "slow" {
					time.Sleep(time.Minute)
				}
				fmt.Fprintln(its, "{}")
			}
		}()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.exchange(ended, []byte("fast\n")); err != nil {
			t.Errorf("the first request: %v", err)
		}
		if _, err := w.exchange(t.Context(), []byte("slow\n")); err != nil {
			t.Errorf("the next request: %v", err)
		}
		w.conn.Close()
	})
}
