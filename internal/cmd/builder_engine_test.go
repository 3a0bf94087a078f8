package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
)

// fakeEngine is a Docker Engine with at most one container, that of builder b, and a docker command for it. What they share are
// files in a folder: "there" and "runs" are the container's state, "breaks" keeps it from starting, "calls" has the docker
// commands and the removals, and "reserve" what was done with the reserve on the builder's disk.
type fakeEngine struct {
	t      *testing.T
	dir    string
	server *http.Server
}

const fakeDocker = `#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
*head*eval-images-reserve*) echo keep >>reserve; exit;;
*rm*eval-images-reserve*) echo drop >>reserve; exit;;
esac
echo "docker $*" >>calls
case "$*" in *--bootstrap*)
	if [ -e breaks ]; then echo "ERROR: it does not start" >&2; exit 1; fi
	if ! [ -e runs ]; then touch there runs; fi
	sleep 0.1
	echo "BuildKit version: v0.34.2";;
esac
`

func newFakeEngine(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{t: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(e.dir, "docker"), []byte(fakeDocker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", e.dir+":"+os.Getenv("PATH"))
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *fakeEngine) socket() string { return filepath.Join(e.dir, "s") }

// start makes the engine listen.
func (e *fakeEngine) start() {
	os.Remove(e.socket())
	listener, err := net.Listen("unix", e.socket())
	if err != nil {
		e.t.Error(err)
		return
	}
	e.server = &http.Server{Handler: e}
	go e.server.Serve(listener)
}

func (e *fakeEngine) stop() { e.server.Close() }

func (e *fakeEngine) has(name string) bool {
	_, err := os.Stat(filepath.Join(e.dir, name))
	return err == nil
}

func (e *fakeEngine) set(names ...string) {
	e.t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(e.dir, name), nil, 0o644); err != nil {
			e.t.Fatal(err)
		}
	}
}

func (e *fakeEngine) unset(names ...string) {
	for _, name := range names {
		os.Remove(filepath.Join(e.dir, name))
	}
}

// calls returns what was done since the last call.
func (e *fakeEngine) calls() []string {
	content, _ := os.ReadFile(filepath.Join(e.dir, "calls"))
	e.unset("calls")
	if len(content) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	answer := func(value any) { _ = json.NewEncoder(w).Encode(value) }
	path := strings.TrimPrefix(r.URL.Path, "/v1.41")
	switch {
	case r.Method == http.MethodDelete:
		if path == "/containers/"+node && e.has("there") {
			e.note("remove " + path)
			e.unset("there", "runs", "breaks")
			return
		}
		w.WriteHeader(http.StatusNotFound)
		answer(map[string]string{"message": "no such thing"})
	case path == "/version":
		answer(map[string]string{"Version": "20.10.24"})
	case path == "/containers/json" && e.has("there"):
		answer([]any{map[string]any{"Names": []string{"/" + node}}})
	case path == "/containers/"+node+"/json" && e.has("there"):
		answer(map[string]any{"Id": "1", "State": map[string]any{"Running": e.has("runs"), "StartedAt": "now"}})
	case strings.HasSuffix(path, "/json"):
		w.WriteHeader(http.StatusNotFound)
		answer(map[string]string{"message": "no such container"})
	default:
		answer(map[string]string{})
	}
}

func (e *fakeEngine) note(what string) {
	file, err := os.OpenFile(filepath.Join(e.dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		e.t.Error(err)
		return
	}
	defer file.Close()
	fmt.Fprintln(file, what)
}

const node = "buildx_buildkit_b0"

// reached returns builder b of this engine, an own one or an adopted one, after its first use.
func (e *fakeEngine) reached(own bool) (*builder, *begunRecord) {
	e.t.Helper()
	r := beginRecord(e.t)
	r.work.setupLog = newSetupLog(e.t)
	b := &builder{env: environment{"DOCKER_HOST=unix://" + e.socket()}, environ: os.Environ(), work: r.work, record: r.record, name: "b"}
	if !own {
		b.config = config.Config{Builder: "b"}
		e.set("there", "runs")
	}
	if err := b.Reach(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	return b, r
}

// all reaches the builder for as many images as are built at once.
func all(b *builder) []error {
	errs := make([]error, 4)
	var builds sync.WaitGroup
	for i := range errs {
		builds.Go(func() { errs[i] = b.Reach(context.Background()) })
	}
	builds.Wait()
	return errs
}

// Localhost is the machine's for this process, and would be the builder's own for a builder with a network of its own.
func TestOwnBuilderReachesARegistryOnLocalhost(t *testing.T) {
	const template = "docker.io/x/{name}:latest"
	cases := map[string]struct {
		config config.Config
		want   bool
	}{
		"localhost":   {config.Config{Image: "localhost:5000/eval", BaseImageTemplate: template}, true},
		"an address":  {config.Config{Image: "127.0.0.1:5000/eval", BaseImageTemplate: template}, true},
		"base images": {config.Config{Image: "ghcr.io/o/eval", BaseImageTemplate: "localhost/{name}:latest"}, true},
		"elsewhere":   {config.Config{Image: "localhost.example/o/eval", BaseImageTemplate: template}, false},
		"a path":      {config.Config{Image: "ghcr.io/localhost/eval", BaseImageTemplate: template}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := newFakeEngine(t)
			r := beginRecord(t)
			r.work.setupLog = newSetupLog(t)
			environ := environment{"DOCKER_HOST=unix://" + e.socket()}
			b := &builder{config: c.config, env: environ, environ: os.Environ(), work: r.work, record: r.record, name: "b"}
			if err := b.Reach(t.Context()); err != nil {
				t.Fatal(err)
			}
			if calls := strings.Join(e.calls(), "\n"); strings.Contains(calls, "--driver-opt network=host") != c.want {
				t.Errorf("on the network of the machine: want %v\n%s", c.want, calls)
			}
		})
	}
}

const boot = "docker buildx inspect --bootstrap b"

// A builder that has ended is brought back once for all builds that need it. One that the run was given is never made.
func TestBuilderThatHasEndedIsBroughtBackOnce(t *testing.T) {
	cases := []struct {
		name        string
		own         bool
		set, unset  []string
		calls       []string
		said, fails string
	}{
		{"an own builder runs", true, nil, nil, nil, "", ""},
		{"an own builder was killed", true, nil, []string{"runs"}, []string{boot}, "it was started again", ""},
		{"an own builder was removed", true, nil, []string{"there", "runs"}, []string{boot}, "it was made again", ""},
		{
			"an own builder does not start on what it left", true,
			[]string{"breaks"},
			[]string{"runs"},
			[]string{boot, "remove /containers/" + node, boot},
			"it was made again, with an empty cache", "",
		},
		{"an adopted builder runs", false, nil, nil, nil, "", ""},
		{"an adopted builder was stopped", false, nil, []string{"runs"}, []string{boot}, "it was started again", ""},
		{"an adopted builder was removed", false, nil, []string{"there", "runs"}, nil, "", "was removed during the run"},
		{"an adopted builder does not start", false, []string{"breaks"}, []string{"runs"}, []string{boot}, "", "does not start again"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newFakeEngine(t)
			b, r := e.reached(c.own)
			e.calls()
			e.set(c.set...)
			e.unset(c.unset...)
			for _, err := range all(b) {
				var unavailable *docker.Unavailable
				if (err != nil) != (c.fails != "") || err != nil && (!errors.As(err, &unavailable) || unavailable.Hint() == "" || !strings.Contains(err.Error(), c.fails)) {
					t.Errorf("Reach = %v, want %q", err, c.fails)
				}
			}
			if diff := cmp.Diff(c.calls, e.calls()); diff != "" {
				t.Errorf("it ran (-want +got):\n%s", diff)
			}
			if said := strings.Count(r.said.String(), "had ended"); (c.said != "") != (said == 1) || !strings.Contains(r.said.String(), c.said) {
				t.Errorf("the log says, want %q once:\n%s", c.said, &r.said)
			}
		})
	}
}

// Between our look and the build, an adopted builder may be removed. buildx would then make another one, if it could.
func TestAdoptedBuilderCannotBeMadeByBuildx(t *testing.T) {
	e := newFakeEngine(t)
	e.reached(false)
	want := []string{"docker buildx create --name b --driver docker-container --driver-opt image=eval-images.invalid/adopted-builders-are-never-made", boot}
	if diff := cmp.Diff(want, e.calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A prune on a full disk needs the reserve. What a run has put into a builder that is not its own, it takes back.
func TestReserveOfAnAdoptedBuilder(t *testing.T) {
	e := newFakeEngine(t)
	b, _ := e.reached(false)
	b.remove(t.Context())
	if did, err := os.ReadFile(filepath.Join(e.dir, "reserve")); string(did) != "keep\ndrop\n" {
		t.Errorf("it did %q (%v), want that it keeps the reserve, and drops it", did, err)
	}
}

func TestRestartOfTheEngineIsWaitedFor(t *testing.T) {
	e := newFakeEngine(t)
	b, r := e.reached(true)
	before := b.Instance(t.Context())
	e.stop()
	if got := b.Instance(t.Context()); got != "" || before == "" {
		t.Errorf("instance %q before, and %q of an engine that does not answer", before, got)
	}
	e.unset("runs") // an engine that ends stops its containers
	ended := make(chan []error)
	go func() { ended <- all(b) }()
	time.Sleep(100 * time.Millisecond)
	e.start()
	for _, err := range <-ended {
		if err != nil {
			t.Errorf("Reach = %v", err)
		}
	}
	if said := r.said.String(); strings.Count(said, "it was started again") != 1 {
		t.Errorf("the log says:\n%s", said)
	}
}

// newSetupLog is the log of a set-up in which nothing is a secret.
func newSetupLog(t *testing.T) *safeLog {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &safeLog{file: file, actions: newRecord(Process{Stdout: io.Discard}, nil).actions}
}

func TestRestartOfABuildkitdAtAnAddressIsWaitedFor(t *testing.T) {
	e := newFakeEngine(t) // for its docker command
	socket := filepath.Join(e.dir, "buildkitd")
	r := beginRecord(t)
	r.work.setupLog = newSetupLog(t)
	b := &builder{config: config.Config{Builder: "unix://" + socket}, environ: os.Environ(), work: r.work, record: r.record, name: "b"}
	if err := b.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan []error)
	go func() { ended <- all(b) }()
	select {
	case errs := <-ended:
		t.Fatalf("Reach = %v, and nothing listens", errs)
	case <-time.After(100 * time.Millisecond):
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range <-ended {
		if err != nil {
			t.Errorf("Reach = %v", err)
		}
	}
}
