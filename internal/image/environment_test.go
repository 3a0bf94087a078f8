package image

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// TestDockerOfEnvironments is the docker command of the tests below, when it is run with a variable: it pushes an image that was made
// when the build says.
func TestDockerOfEnvironments(t *testing.T) {
	args := strings.Split(os.Getenv("FAKE_DOCKER_ARGS"), "\n")
	if len(args) < 2 {
		return
	}
	tag, epoch, base := "", int64(0), ""
	for i, arg := range args {
		switch {
		case arg == "--tag":
			tag = args[i+1]
		case arg == "--build-context":
			_, base, _ = strings.Cut(args[i+1], "=docker-image://")
		case strings.HasPrefix(arg, "SOURCE_DATE_EPOCH="):
			epoch, _ = strconv.ParseInt(strings.TrimPrefix(arg, "SOURCE_DATE_EPOCH="), 10, 64)
		}
	}
	script, err := os.ReadFile(filepath.Join(args[len(args)-1], "setup_env.sh"))
	if err != nil || strings.Contains(string(script), "exit 7") {
		fmt.Printf("ERROR: failed to build: process \"sh setup_env.sh\" did not complete successfully: exit code: 7 (%v)\n", err)
		os.Exit(1)
	}
	if base != "" {
		if _, err := remote.Get(must(t, base)); err != nil {
			t.Fatal("the base is not there by its digest: ", err)
		}
	}
	pushEnvironment(t, tag, time.Unix(epoch, 0))
}

func must(t *testing.T, reference string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func pushEnvironment(t *testing.T, tag string, created time.Time) {
	t.Helper()
	img, err := mutate.CreatedAt(registrytest.Base(tag), v1.Time{Time: created})
	if err == nil {
		err = remote.Write(must(t, tag), img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// environments is a run of one base and environments.
type environments struct {
	*fixture
	prefix string
	base   Environment
}

func newEnvironments(t *testing.T) *environments {
	server := httptest.NewServer(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	f := native(t)
	f.between = func(http.RoundTripper) http.RoundTripper { return http.DefaultTransport }
	f.dockerIs(t, fmt.Sprintf("cat >/dev/null\nFAKE_DOCKER_ARGS=$(printf '%%s\\n' \"$@\") exec %q -test.run '^TestDockerOfEnvironments$' >&2\n", os.Args[0]))
	e := &environments{fixture: f, prefix: strings.TrimPrefix(server.URL, "http://") + "/swt"}
	e.base = e.environment("exec.base", "")
	e.base.BaseImage = ""
	return e
}

func (e *environments) environment(id, script string) Environment {
	return Environment{
		Target:     plan.Target{InstanceID: id, BaseImage: "exec.base:latest", Tags: []string{e.prefix + "/" + id + ":latest"}},
		Dockerfile: "FROM exec.base:latest\n", Script: script,
	}
}

// make makes three environments, and says what came of each image.
func (e *environments) make(t *testing.T, scripts ...string) (*ran, map[string]string) {
	t.Helper()
	var all []Environment
	for i, script := range scripts {
		all = append(all, e.environment(fmt.Sprintf("env%d", i), script))
	}
	r := e.newRun(t, true)
	if err := r.maker.Environments(t.Context(), e.base, all); err != nil {
		t.Fatal(err)
	}
	return r, ways(r)
}

// ways tells how each image was made, without the reason why it was not rebased.
func ways(r *ran) map[string]string {
	all := r.made()
	for id, how := range all {
		all[id], _, _ = strings.Cut(how, ": ")
	}
	return all
}

// accepted fails for an environment that the evaluation would throw away.
func (e *environments) accepted(t *testing.T, r *ran) {
	t.Helper()
	created := func(out *outcome.Outcome) string {
		at, err := Created(t.Context(), r.registry, out.Tags[0])
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	base := ""
	for _, out := range r.outcomes {
		if out.Err != nil {
			continue
		}
		if at := created(out); base == "" {
			base = at
		} else if at < base {
			t.Errorf("%s was made at %s, its base at %s", out.Target.InstanceID, at, base)
		}
	}
}

func TestEnvironmentsAreMadeOnceAndOneFailureCostsOne(t *testing.T) {
	e := newEnvironments(t)
	r, got := e.make(t, "one", "exit 7", "three")
	want := map[string]string{"exec.base": "environment", "env0": "environment", "env1": "build-failed", "env2": "environment"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the first run (-want +got):\n%s", diff)
	}
	e.accepted(t, r)
	r, got = e.make(t, "one", "two", "three")
	want = map[string]string{"exec.base": "there", "env0": "there", "env1": "environment", "env2": "there"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the second run (-want +got):\n%s", diff)
	}
	e.accepted(t, r)
}

func TestAnEnvironmentIsNeverOlderThanItsBase(t *testing.T) {
	hour := time.Now().Add(-time.Hour)
	cases := []struct {
		name            string
		base, env       time.Time // of what is there; zero is missing
		wantBase, want0 string
	}{
		{"the base is missing", time.Time{}, hour, "environment", "environment"},
		{"the base is missing, and the environment's clock was ahead", time.Time{}, hour.Add(2 * time.Hour), "environment", "environment"},
		{"the environment is older", hour, hour.Add(-time.Second), "there", "environment"},
		{"both were made at the same time", hour, hour, "there", "there"},
		{"the base's clock was ahead", time.Now().Add(time.Hour), hour, "there", "environment"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEnvironments(t)
			for id, at := range map[string]time.Time{"exec.base": c.base, "env0": c.env} {
				if !at.IsZero() {
					pushEnvironment(t, e.prefix+"/"+id+":latest", at)
				}
			}
			r, got := e.make(t, "one")
			if diff := cmp.Diff(map[string]string{"exec.base": c.wantBase, "env0": c.want0}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			e.accepted(t, r)
		})
	}
}

// duringABuild returns a context that ends for a reason in the middle of the first build, which takes a minute.
func (e *environments) duringABuild(t *testing.T, reason error) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	begun := filepath.Join(e.docker, "begun")
	e.dockerIs(t, "touch "+begun+"\nsleep 60\n")
	go func() {
		for _, err := os.Stat(begun); err != nil && ctx.Err() == nil; _, err = os.Stat(begun) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel(reason)
	}()
	return ctx
}

// An environment that is older than its base is missing, also when the deadline comes while it is built again.
func TestStaleEnvironmentAtTheDeadline(t *testing.T) {
	e := newEnvironments(t)
	hour := time.Now().Add(-time.Hour)
	pushEnvironment(t, e.prefix+"/exec.base:latest", hour)
	pushEnvironment(t, e.prefix+"/env0:latest", hour.Add(-time.Second))
	r := e.newRun(t, true)
	_ = r.maker.Environments(e.duringABuild(t, failure.ErrDeadline), e.base, []Environment{e.environment("env0", "one")})
	if diff := cmp.Diff(map[string]string{"exec.base": "there", "env0": "deadline"}, ways(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A cancel, or the deadline, during the build of the base is no failure that all environments share.
func TestCancelDuringTheBaseOfEnvironments(t *testing.T) {
	e := newEnvironments(t)
	r := e.newRun(t, true)
	_ = r.maker.Environments(e.duringABuild(t, context.Canceled), e.base, []Environment{e.environment("env0", "one")})
	if diff := cmp.Diff(map[string]string{"exec.base": "cancelled", "env0": "cancelled"}, ways(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithoutItsBaseNoEnvironmentIsTried(t *testing.T) {
	e := newEnvironments(t)
	e.base.Script = "exit 7"
	r, got := e.make(t, "one", "two")
	if diff := cmp.Diff(map[string]string{"exec.base": "build-failed", "env0": "shared-stage", "env1": "shared-stage"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := r.outcomes[1].Err; !strings.Contains(err.Error(), "not tried: exec.base failed") {
		t.Errorf("the error is %v", err)
	}
}
