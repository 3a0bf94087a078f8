package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
)

const sphinx = "docutils<0.21 roman"

func TestPipDockerfileSetsNothingThatStaysInTheImage(t *testing.T) {
	const want = `FROM hub:5000/a/b:latest@sha256:0123
RUN ["/opt/miniconda3/envs/testbed/bin/python","-I","-m","pip","install","--no-cache-dir","--no-deps","docutils<0.21","roman"]
`
	got := pipDockerfile("hub:5000/a/b:latest@sha256:0123", sphinx)
	differ(t, "Dockerfile", want, got)
	// Whatever else an instruction sets stays in the image, and the SDK's stages would be built with it.
	for line := range strings.Lines(got) {
		if instruction, _, _ := strings.Cut(line, " "); instruction != "FROM" && instruction != "RUN" {
			t.Errorf("it has the instruction %s", instruction)
		}
	}
}

func TestPipBaseTagChangesWithRecipeAndBase(t *testing.T) {
	one := pipBaseTag("sha256:01", sphinx)
	if !regexp.MustCompile(`^base-[0-9a-f]{16}$`).MatchString(one) {
		t.Errorf("the tag is %s", one)
	}
	others := map[string]string{
		"another digest":        pipBaseTag("sha256:02", sphinx),
		"another requirement":   pipBaseTag("sha256:01", "docutils<0.22 roman"),
		"one requirement more":  pipBaseTag("sha256:01", sphinx+" sphinx"),
		"a name, not a digest":  pipBaseTag("hub/a:latest", sphinx),
		"an order of its own":   pipBaseTag("sha256:01", "roman docutils<0.21"),
		"a digest's first part": pipBaseTag("sha256:0", "1"+sphinx),
	}
	for name, other := range others {
		if other == one {
			t.Errorf("%s has the same tag", name)
		}
	}
	if again := pipBaseTag("sha256:01", "docutils<0.21  roman"); again != one {
		t.Error("a second blank, which pip never sees, makes another tag")
	}
	if pipRecipeHash(sphinx) == pipRecipeHash("roman") || len(pipRecipeHash(sphinx)) != 64 || pipRecipeHash("") != "" {
		t.Errorf("hashes are %q, %q and %q", pipRecipeHash(sphinx), pipRecipeHash("roman"), pipRecipeHash(""))
	}
}

// pipFixture has a docker command that takes down how it was called, and workers that take down what they were asked for.
type pipFixture struct {
	*fixture
	asked []sdk.Request
	takes time.Duration // a worker's build
}

// newPipFixture has a docker command that takes down arguments, environment and standard input, and then runs script.
func newPipFixture(t *testing.T, script string) *pipFixture {
	t.Helper()
	h := &pipFixture{fixture: native(t)}
	h.settings.Workspace = t.TempDir()
	h.environ = append(h.environ, "BUILDX_BUILDER=mine", "DOCKER_CONFIG=/private")
	h.dockerIs(t, "cd "+h.docker+"\necho \"$*\" >>args\nenv >environ\ncat >recipe\n"+script+"\n")
	h.workers = workers(func(_ context.Context, r sdk.Request) (sdk.Response, error) {
		h.asked = append(h.asked, r)
		time.Sleep(h.takes)
		tag := h.tag(r.Image, h.sha, r.CustomTag, r.Target)
		return sdk.Response{Tags: []string{tag}}, registrytest.Push(h.hosts, tag, registrytest.Base("built"))
	})
	return h
}

// target is one whose base image is in the registry.
func (h *pipFixture) target(t *testing.T, id, requirements string) plan.Target {
	t.Helper()
	target := h.targets(t, id)[0]
	target.PipRequirements = requirements
	return target
}

// pinned is the base image of a target with the digest that it has now.
func (h *pipFixture) pinned(t *testing.T, target plan.Target) string {
	t.Helper()
	return target.BaseImage + "@" + h.digest(t, target.BaseImage)
}

// pipBase is the reference of a target's base image with its packages.
func (h *pipFixture) pipBase(t *testing.T, target plan.Target) string {
	t.Helper()
	return ours + ":" + pipBaseTag(h.pinned(t, target), target.PipRequirements)
}

// noted is what the docker command took down.
func (h *pipFixture) noted(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(h.docker, name))
}

func (h *pipFixture) log(t *testing.T, target plan.Target) string {
	t.Helper()
	return read(t, filepath.Join(h.settings.Workspace, "logs", target.InstanceID+".log"))
}

// makeBase makes sure of a target's base image in a run of its own.
func (h *pipFixture) makeBase(t *testing.T, target plan.Target) (string, error) {
	t.Helper()
	return h.newRun(t, true).maker.pipBaseInSlot(t.Context(), target, &outcome.Outcome{})
}

func TestImageIsBuiltOnABaseWithItsPackages(t *testing.T) {
	h := newPipFixture(t, "echo '#1 pushing'; sleep 0.2")
	h.fixture.settings.ImageTimeout, h.takes = time.Hour, 200*time.Millisecond
	target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	base := h.pipBase(t, target)
	out := h.one(t, target)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	if len(h.asked) != 1 || h.asked[0].BaseImage != base || h.asked[0].CustomTag != target.CustomTag {
		t.Errorf("built were %+v; want it on %s", h.asked, base)
	}
	differ(t, "docker's arguments", "buildx build --progress plain --push --platform linux/amd64 --tag "+base+" -\n", h.noted(t, "args"))
	differ(t, "Dockerfile", pipDockerfile(h.pinned(t, target), sphinx), h.noted(t, "recipe"))
	environ := strings.Split(h.noted(t, "environ"), "\n")
	for _, variable := range []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDX_BUILDER=mine", "DOCKER_CONFIG=/private"} {
		if !slices.Contains(environ, variable) {
			t.Errorf("docker does not see %s", variable)
		}
	}
	if log := h.log(t, target); !strings.Contains(log, "#1 pushing\n") || !strings.Contains(log, base) {
		t.Errorf("the image's log is %q", log)
	}
	if out.Build < 400*time.Millisecond || len(out.Attempts) != 1 || !slices.Equal(out.Tags, target.Tags) {
		t.Errorf("outcome %+v: want one attempt that took both builds", out)
	}
}

func TestImageWithoutPackagesIsBuiltOnItsOwnBase(t *testing.T) {
	h := newPipFixture(t, "")
	target := h.target(t, "django__django-1", "")
	h.hub.Fault = refusing("/", http.StatusTeapot)
	if out := h.one(t, target); out.Err != nil {
		t.Fatal(out.Err)
	}
	if len(h.asked) != 1 || h.asked[0].BaseImage != target.BaseImage {
		t.Errorf("built were %+v; want it on %s", h.asked, target.BaseImage)
	}
	if args := h.noted(t, "args"); args != "" {
		t.Errorf("docker was called: %s", args)
	}
}

func TestPipBaseIsMadeOnlyWhereItIsMissing(t *testing.T) {
	cases := []struct {
		name   string
		change func(t *testing.T, h *pipFixture, target *plan.Target)
		builds int
		same   bool // the second build's reference
	}{
		{"it is there", func(*testing.T, *pipFixture, *plan.Target) {}, 1, true},
		{"another base under the same name", func(t *testing.T, h *pipFixture, target *plan.Target) {
			h.push(t, target.BaseImage, registrytest.Base("another"))
		}, 2, false},
		{"another recipe", func(_ *testing.T, _ *pipFixture, target *plan.Target) { target.PipRequirements = "roman" }, 2, false},
		{"force-build", func(_ *testing.T, h *pipFixture, _ *plan.Target) { h.settings.Force = true }, 2, true},
		{"a registry that keeps the base's digest to itself", func(_ *testing.T, h *pipFixture, _ *plan.Target) {
			h.hub.Fault = refusing("/", http.StatusForbidden)
		}, 2, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newPipFixture(t, "")
			target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
			first, err := h.makeBase(t, target)
			if err != nil {
				t.Fatal(err)
			}
			h.push(t, first, registrytest.Base("with packages")) // what the real command would have pushed
			c.change(t, h, &target)
			second, err := h.makeBase(t, target)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(h.noted(t, "args"), "\n"); n != c.builds {
				t.Errorf("%d docker commands for two builds, want %d", n, c.builds)
			}
			if (first == second) != c.same {
				t.Errorf("the references are %s and %s", first, second)
			}
		})
	}
}

// By a name alone nobody knows whether the base has become another one since, so its packages are added each time.
func TestBaseOfUnknownDigestIsMadeEachTime(t *testing.T) {
	h := newPipFixture(t, "")
	target := plan.Target{InstanceID: "sphinx-doc__sphinx-1", BaseImage: hub + "/nothing:latest", PipRequirements: sphinx}
	h.push(t, ours+":"+pipBaseTag(target.BaseImage, sphinx), registrytest.Base("with packages"))
	if _, err := h.makeBase(t, target); err != nil {
		t.Fatal(err)
	}
	differ(t, "Dockerfile", pipDockerfile(target.BaseImage, sphinx), h.noted(t, "recipe"))
}

// Where a HEAD is answered with the digest of another base image, whether that has its packages or not, nothing is made of that
// one, and the next attempt asks again.
func TestPackagesAreNotAddedToAnotherBase(t *testing.T) {
	for _, there := range []bool{false, true} {
		t.Run(fmt.Sprint("the other one is there: ", there), func(t *testing.T) {
			h := newPipFixture(t, "")
			target, other := h.target(t, "sphinx-doc__sphinx-1", sphinx), h.target(t, "sphinx-doc__sphinx-2", sphinx)
			pinned, digestOfOther := h.pinned(t, target), h.digest(t, other.BaseImage)
			if there {
				h.push(t, h.pipBase(t, other), registrytest.Base("with packages"))
			}
			mixedUp := true
			h.hub.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "sphinx-1/") || !mixedUp {
					return false
				}
				mixedUp = false
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
				w.Header().Set("Content-Length", "100")
				w.Header().Set("Docker-Content-Digest", digestOfOther)
				return true
			}
			_, err := h.makeBase(t, target)
			_, digest, _ := strings.Cut(pinned, "@")
			if failure.ClassOf(err) != failure.ClassRegistry || !strings.Contains(err.Error(), "its manifest has "+digest) || h.noted(t, "args") != "" {
				t.Errorf("%s: %v; docker: %s", failure.ClassOf(err), err, h.noted(t, "args"))
			}
			if _, err := h.makeBase(t, target); err != nil {
				t.Fatal(err)
			}
			differ(t, "Dockerfile", pipDockerfile(pinned, sphinx), h.noted(t, "recipe"))
		})
	}
}

// To look makes nothing, writes no log, and says what would be built on.
func TestLookForAPipBase(t *testing.T) {
	cases := []struct {
		name               string
		requirements, made string // made are the requirements of a base that is there
		force              bool
		refuse             string // a part of the paths that the registries do not answer
		there, fail        bool
	}{
		{name: "no packages", there: true},
		{name: "missing", requirements: sphinx},
		{name: "there", requirements: sphinx, made: sphinx, there: true},
		{name: "there with other requirements", requirements: sphinx, made: sphinx + " other"},
		{name: "forced", requirements: sphinx, made: sphinx, force: true},
		{name: "no answer about the base", requirements: sphinx, refuse: "/bench/", fail: true},
		{name: "no answer about the base with packages", requirements: sphinx, refuse: "/eval/", fail: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newPipFixture(t, "echo no >&2; exit 1")
			target := h.target(t, "sphinx-doc__sphinx-1", c.requirements)
			if c.made != "" {
				h.push(t, ours+":"+pipBaseTag(h.pinned(t, target), c.made), registrytest.Base("with packages"))
			}
			want := target.BaseImage
			if c.requirements != "" {
				want = h.pipBase(t, target)
			}
			h.settings.Force = c.force
			if c.refuse != "" {
				h.hub.Fault, h.ours.Fault = refusing(c.refuse, http.StatusForbidden), refusing(c.refuse, http.StatusForbidden)
			}
			got, err := h.newRun(t, true).maker.lookUpPipBase(t.Context(), target)
			if (err != nil) != c.fail || err == nil && (got.reference != want || got.there != c.there) {
				t.Errorf("%s, there: %v, error %v; want %s, %v, an error: %v", got.reference, got.there, err, want, c.there, c.fail)
			}
			if args, log := h.noted(t, "args"), h.log(t, target); args != "" || log != "" {
				t.Errorf("docker was called: %s; the log is %q", args, log)
			}
		})
	}
}

// A registry that asks to wait has answered, so the image waits, and is not built natively for want of an answer.
func TestLookForAPipBaseDuringAPause(t *testing.T) {
	for _, paused := range []string{"/bench/", "/eval/"} {
		h := newPipFixture(t, "")
		target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
		fault := func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, paused) {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
			return strings.Contains(r.URL.Path, paused)
		}
		h.hub.Fault, h.ours.Fault = fault, fault
		_, err := h.newRun(t, true).maker.lookUpPipBase(t.Context(), target)
		if failure.ClassOf(err) != failure.ClassRateLimit || !failure.Paused(err) {
			t.Errorf("%s: %s, paused: %v, %v", paused, failure.ClassOf(err), failure.Paused(err), err)
		}
	}
}

func TestAddingPackagesFails(t *testing.T) {
	const said = `echo '#5 0.3 No module named pip'; echo 'ERROR: failed to solve: process "python" did not complete' >&2; exit 17`
	const unreached = `ERROR: failed to solve: failed to do request: Head "https://r.local/v2/b/manifests/1": dial tcp: lookup r.local: no such host`
	cancelled := errors.New("the runner's signal")
	cases := []struct {
		name, script string
		prepare      func(h *pipFixture, cancel context.CancelCauseFunc)
		want         failure.Error
		says         string
	}{
		{
			"a step fails", said, nil,
			failure.Error{
				Class: failure.ClassBuild, ReturnCode: 17,
				Tail: "#5 0.3 No module named pip\nERROR: failed to solve: process \"python\" did not complete",
			},
			`docker buildx build ended with 17: ERROR: failed to solve: process "python"`,
		},
		{"a lot is said before", "yes a line | head -n 900; " + said, nil, failure.Error{
			Class: failure.ClassBuild, ReturnCode: 17,
			// 4000 bytes hold the last two lines, and 559 lines of 7 in whole.
			Tail: strings.Repeat("a line\n", 559) + "#5 0.3 No module named pip\nERROR: failed to solve: process \"python\" did not complete",
		}, "17"},
		{
			"a registry that is not reached", "echo '" + unreached + "' >&2; exit 1", nil,
			failure.Error{Class: failure.ClassNetwork, ReturnCode: 1, Tail: unreached},
			"no such host",
		},
		{
			"image-timeout", "sleep 60", func(h *pipFixture, _ context.CancelCauseFunc) { h.settings.ImageTimeout = 300 * time.Millisecond },
			failure.Error{Class: failure.ClassTimeout},
			"image-timeout",
		},
		{
			"stall-timeout", "echo '#1 building' >&2; sleep 60", func(h *pipFixture, _ context.CancelCauseFunc) { h.settings.StallTimeout = 300 * time.Millisecond },
			failure.Error{Class: failure.ClassStalled},
			"stall-timeout",
		},
		{
			"cancelled", "sleep 60", func(_ *pipFixture, cancel context.CancelCauseFunc) {
				time.AfterFunc(300*time.Millisecond, func() { cancel(cancelled) })
			},
			failure.Error{Class: failure.ClassCancelled},
			cancelled.Error(),
		},
		{"no answer whether it is there", "", func(h *pipFixture, _ context.CancelCauseFunc) {
			h.ours.Fault = refusing("/manifests/base-", http.StatusForbidden)
		}, failure.Error{Class: failure.ClassAuth}, "403"},
		{"a log that is a folder", "", func(h *pipFixture, _ context.CancelCauseFunc) {
			_ = os.MkdirAll(filepath.Join(h.settings.Workspace, "logs", "sphinx-doc__sphinx-1.log"), 0o755)
		}, failure.Error{Class: failure.ClassUnknown}, "log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newPipFixture(t, c.script)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
			if c.prepare != nil {
				c.prepare(h, cancel)
			}
			r := h.newRun(t, true)
			if err := r.maker.All(ctx, []plan.Target{target}); err != nil {
				t.Fatal(err)
			}
			out := r.outcomes[0]
			var failed *failure.Error
			if !errors.As(out.Err, &failed) {
				t.Fatalf("error %v, want a *failure.Error", out.Err)
			}
			differ(t, "error", c.want, failure.Error{Class: failed.Class, ReturnCode: failed.ReturnCode, Tail: failed.Tail})
			for _, text := range []string{c.says, target.BaseImage, sphinx} {
				if !strings.Contains(out.Err.Error(), text) {
					t.Errorf("%q does not say %q", out.Err, text)
				}
			}
			if len(h.asked) != 0 || len(out.Attempts) != 1 || len(out.Tags) != 0 || out.Build <= 0 || out.Strategy != "" {
				t.Errorf("outcome %+v, and built %+v; want an attempt without an image", out, h.asked)
			}
			if out.LogPath != "logs/sphinx-doc__sphinx-1.log" {
				t.Errorf("log path %s", out.LogPath)
			}
		})
	}
}

// The build has what is left of image-timeout when the packages are there.
func TestImageTimeoutCoversPackagesAndBuild(t *testing.T) {
	h := newPipFixture(t, "sleep 0.3")
	target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	h.settings.ImageTimeout = time.Minute
	var left time.Duration
	push := h.workers
	h.workers = workers(func(ctx context.Context, r sdk.Request) (sdk.Response, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return push.Build(ctx, r)
	})
	if out := h.one(t, target); out.Err != nil {
		t.Fatal(out.Err)
	}
	if left > time.Minute-300*time.Millisecond || left < time.Second {
		t.Errorf("the build has %s left of a minute", left)
	}
	h.settings.ImageTimeout, h.settings.Force = time.Second, true
	h.workers = workers(func(ctx context.Context, _ sdk.Request) (sdk.Response, error) {
		<-ctx.Done()
		return sdk.Response{}, context.Cause(ctx)
	})
	if err := h.one(t, target).Err; !errors.Is(err, sdk.ErrTimeout) || failure.ClassOf(err) != failure.ClassTimeout {
		t.Errorf("the build ended by %v, want image-timeout", err)
	}
}

// Also where no whole image is built on it.
func TestImageTimeoutCoversEachBaseWithPackages(t *testing.T) {
	cases := []struct {
		name string
		make func(m *Maker, ctx context.Context, target plan.Target) error
	}{
		{"of an eval-base", func(m *Maker, ctx context.Context, target plan.Target) error {
			_, err := m.pipBaseInSlot(ctx, target, &outcome.Outcome{})
			return err
		}},
		{"of a reference's base stage", func(m *Maker, ctx context.Context, target plan.Target) error {
			_, err := m.buildBaseStage(ctx, target, "x", true)
			return err
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newPipFixture(t, "sleep 10")
			h.settings.ImageTimeout = 300 * time.Millisecond
			target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
			if err := c.make(h.newRun(t, true).maker, t.Context(), target); failure.ClassOf(err) != failure.ClassTimeout {
				t.Errorf("%v; want image-timeout", err)
			}
		})
	}
}

// docker tells BuildKit that nobody waits for the image any more.
func TestDockerIsInterruptedBeforeItIsKilled(t *testing.T) {
	h := newPipFixture(t, `trap 'echo "#1 canceled"; exit 130' INT; sleep 60 & wait`)
	h.settings.ImageTimeout = 300 * time.Millisecond
	target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	if err := h.one(t, target).Err; failure.ClassOf(err) != failure.ClassTimeout {
		t.Errorf("error %v, want a time-out", err)
	}
	if log := h.log(t, target); !strings.Contains(log, "#1 canceled") {
		t.Errorf("docker was not interrupted: its log is %q", log)
	}
}

// A docker command may leave a child behind which does not care for SIGINT.
func TestCancelEndsDockersWholeProcessGroup(t *testing.T) {
	h := newPipFixture(t, `(trap "" INT; echo $$ >group; sh -c 'echo $$ >child; exec sleep 60') & wait`)
	target := h.target(t, "sphinx-doc__sphinx-1", sphinx)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for h.noted(t, "child") == "" {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := h.newRun(t, true).maker.pipBaseInSlot(ctx, target, &outcome.Outcome{}); failure.ClassOf(err) != failure.ClassCancelled {
		t.Errorf("error %v, want a cancelled build", err)
	}
	var child int
	if _, err := fmt.Sscan(h.noted(t, "child"), &child); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if errors.Is(syscall.Kill(child, 0), syscall.ESRCH) || zombie(child) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives on", child)
}

// zombie tells a process that has ended, and that process 1 has not waited for yet.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
