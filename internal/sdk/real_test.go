package sdk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/logfile"
)

// realParts are where this test, unlike the others, works on: the SDK itself, in a git repository with a tag for each
// release, and its real environment. It needs git, uv and Python 3.13 on PATH, as the action's image has them, and
//
//	EVAL_IMAGES_REAL_SDK=1            what is missing fails the test; without it, the test is skipped
//	LAB_SDK_REPOSITORY[_INSIDE]       the repository; the second name wins, for a run inside a container
//	LAB_SDK_REFS or LAB_SDK_REF       what to check out, separated by blanks
type realParts struct {
	repository string
	refs       []string
	uv         string // the real one
}

func findRealParts(t *testing.T) realParts {
	t.Helper()
	if os.Getenv("EVAL_IMAGES_REAL_SDK") != "1" {
		t.Skip("not asked for: EVAL_IMAGES_REAL_SDK=1 runs this on the real SDK, inside the action's image")
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v := os.Getenv(name); v != "" {
				return v
			}
		}
		t.Fatalf("none of %v is set", names)
		return ""
	}
	parts := realParts{
		repository: first("LAB_SDK_REPOSITORY_INSIDE", "LAB_SDK_REPOSITORY"),
		refs:       strings.Fields(first("LAB_SDK_REFS", "LAB_SDK_REF")),
	}
	for _, program := range []string{"git", "python" + defaultPython, "uv"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		parts.uv = path // The last.
	}
	return parts
}

// countingUV counts from outside how often uv builds, and lets it.
const countingUV = `#!/bin/sh
case "$1" in build) echo "$*" >>"%s/uv-builds";; esac
exec "%s" "$@"
`

// fakeDocker stands for the docker command line and its builder: it keeps the arguments of each build, one a line,
// looks into the context, and fails or hangs as the base image says. BuildKit's lines are in its plain form.
const fakeDocker = `#!/bin/bash
here=%q
if [ "$2" = inspect ]; then echo "Driver:           docker-container"; exit; fi
name=build-$$
printf '%%s\n' "$@" >"$here/$name"
context=${!#}
test -s "$context/Dockerfile" -a -s "$context/uv.lock" && touch "$here/$name-has-context"
case "$*" in
*BASE_IMAGE=base/missing*)
	printf '#3 [internal] load metadata for base/missing\n#3 ERROR: base/missing: not found\nERROR: failed to solve: base/missing: not found\n' >&2
	exit 1;;
*BASE_IMAGE=base/hangs*) trap '' INT; sleep 3600;;
esac
printf '#5 [stage 1/2] RUN x\n#5 CACHED\n#6 exporting to image\n#6 pushing layers 1.5s done\n#6 DONE 2.0s\n' >&2
`

// realSDK is a release with two workers, ready to build.
type realSDK struct {
	*Pool
	dir      string
	checkout Checkout
	sdist    Sdist
	image    string
}

// oldest is the first release that works; it is here for its import and its tags only.
const oldest = "v1.1.0"

// TestRealSDK works on each release.
func TestRealSDK(t *testing.T) {
	parts := findRealParts(t)
	for _, ref := range parts.refs {
		t.Run(ref, func(t *testing.T) {
			s := newRealSDK(t, parts, ref)
			t.Run("describes itself", func(t *testing.T) { s.testDescription(t, ref) })
			t.Run("names tags", s.testNames)
			t.Run("builds", s.testBuilds)
			t.Run("fails", s.testFailures)
			t.Run("loses a worker", s.testLostWorker)
			t.Run("captures", s.testCapture)
			t.Run("has one sdist", s.testOneSdist)
		})
	}
	t.Run(oldest, func(t *testing.T) {
		s := newRealSDK(t, parts, oldest)
		s.testDescription(t, oldest)
		s.testNames(t)
	})
}

func newRealSDK(t *testing.T, parts realParts, ref string) realSDK {
	t.Helper()
	dir := filepath.Dir(shortTempDir(t))
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("uv", fmt.Sprintf(countingUV, dir, parts.uv))
	write("docker", fmt.Sprintf(fakeDocker, dir))
	environ := append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	log, err := os.Create(filepath.Join(dir, "setup.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmds := Commands{Environ: environ, Log: log, LogPath: log.Name()}

	s := realSDK{dir: dir, image: "registry.local:5000/eval"}
	began := time.Now()
	if s.checkout, err = Clone(t.Context(), Source{parts.repository, ref}, filepath.Join(dir, "clone"), cmds); err != nil {
		t.Fatalf("%v\n%s", err, readFile(t, log.Name()))
	}
	t.Logf("checkout of %s took %s", s.checkout.SHA, time.Since(began))
	environment, err := s.checkout.Environment(t.Context(), cmds, SDKPackage)
	if err != nil {
		t.Fatalf("%v\n%s", err, readFile(t, log.Name()))
	}
	t.Logf("environment took %s", environment.Duration)
	s.Pool = NewPool(PoolOptions{
		Checkout: s.checkout, Environment: environment, Environ: environ, Size: 2,
		Dir: filepath.Join(dir, "w"), CacheMode: "off", LogPath: filepath.Join(dir, "workers.log"),
	})
	t.Cleanup(func() { s.Close() })
	if s.sdist, err = s.checkout.Sdist(t.Context(), cmds, filepath.Join(dir, "sdist")); err != nil {
		t.Fatalf("%v\n%s", err, readFile(t, log.Name()))
	}
	t.Logf("sdist took %s", s.sdist.Duration)
	return s
}

func (s realSDK) testDescription(t *testing.T, ref string) {
	got, err := s.Describe(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, readFile(t, s.options.LogPath))
	}
	t.Logf("import took %.1f s", got.ImportSeconds)
	source := s.source(t)
	want := Description{
		SDKVersion: strings.TrimPrefix(ref, "v"), Seam: SeamIntercept,
		OptionNames: []string{"arch"}, ImportSeconds: got.ImportSeconds,
	}
	if strings.Contains(source, "    prebuilt_sdist: ") {
		want.Seam = SeamNativeField
	}
	for _, option := range []string{"extra_build_args", "image_flavor", "install_acp_providers", "install_capabilities"} {
		if strings.Contains(source, "    "+option+": ") {
			want.OptionNames = append(want.OptionNames, option)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	if got.ImportSeconds <= 0 {
		t.Error("the import took no time")
	}
}

// source is the text of the SDK's build module.
func (s realSDK) source(t *testing.T) string {
	return readFile(t, filepath.Join(s.checkout.Root, filepath.Dir(dockerfilePath), "build.py"))
}

func (s realSDK) request(base, tag string) Request {
	return Request{
		BaseImage: base, CustomTag: tag, Image: s.image, Target: "source-minimal", Sdist: s.sdist.Path,
		LogPath: filepath.Join(s.dir, tag+".log"), Timeout: time.Minute,
	}
}

// The SDK's own rule makes the tags, at the commit that we name, and none of them moves.
func (s realSDK) testNames(t *testing.T) {
	names, err := s.Names(t.Context(), []Request{s.request("base/image:0", "abcdef0-tag-0")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("%s:%s-abcdef0-tag-0-source-minimal", s.image, s.checkout.SHA[:7])}
	if strings.Contains(s.source(t), "long_sha") { // Since 1.22.0.
		want = append(want, fmt.Sprintf("%s:%s-abcdef0-tag-0-source-minimal", s.image, s.checkout.SHA))
	}
	if diff := cmp.Diff([][]string{want}, names); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// Four images are built: with the tags that were named before, from the prebuilt sdist, and pushed.
func (s realSDK) testBuilds(t *testing.T) {
	s.forgetBuilds(t)
	var requests []Request
	for i := range 4 {
		requests = append(requests, s.request(fmt.Sprintf("base/image:%d", i), fmt.Sprintf("abcdef0-tag-%d", i)))
	}
	names, err := s.Names(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() {
			got, err := s.Build(t.Context(), r)
			if err != nil {
				t.Errorf("%v\n%s", err, readFile(t, r.LogPath))
				return
			}
			if diff := cmp.Diff(names[i], got.Tags); diff != "" || got.SdistBuilds != 0 {
				t.Errorf("%d sdists; tags named and built (-want +got):\n%s", got.SdistBuilds, diff)
			}
			if n := got.Telemetry["cached_step_count"]; s.description.Seam == SeamNativeField && n != 1 {
				t.Errorf("telemetry counts %v cached steps, want 1: %v", n, got.Telemetry)
			}
		})
	}
	all.Wait()
	builds := s.dockerBuilds(t)
	if len(builds) != len(requests) {
		t.Fatalf("docker built %d times, want %d", len(builds), len(requests))
	}
	for i, r := range requests {
		build := builds["BASE_IMAGE="+r.BaseImage]
		wanted := []string{"--push", "--target\nsource-minimal", "--tag\n" + strings.Join(names[i], "\n--tag\n")}
		if strings.Contains(s.source(t), "OPENHANDS_BUILD_GIT_SHA") { // Since 1.12.0.
			wanted = append(wanted, "OPENHANDS_BUILD_GIT_SHA="+s.checkout.SHA)
		}
		if context := logfile.LastLine(build); !regexp.MustCompile(`^` + s.options.Dir + `/[0-9]+/tmp/`).MatchString(context) {
			t.Errorf("the build context %s is not in its worker's TMPDIR", context)
		}
		for _, want := range wanted {
			if !strings.Contains(build, want+"\n") {
				t.Errorf("docker's arguments lack %q:\n%s", want, build)
			}
		}
		if exports := strings.Contains(build, "--cache-to"); exports == strings.Contains(s.source(t), "BUILDKIT_CACHE_MODE") {
			t.Errorf("cache export is %t, with cache-mode off and an SDK that honours it: %t", exports, !exports)
		}
	}
	if contexts, _ := filepath.Glob(filepath.Join(s.dir, "build-*-has-context")); len(contexts) != len(requests) {
		t.Errorf("%d of %d builds had the SDK's files in their context", len(contexts), len(requests))
	}
	if left, _ := filepath.Glob(filepath.Join(s.options.Dir, "*", "tmp", "*")); len(left) != 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// dockerBuilds are the arguments of every build so far, a line each, by their base image argument.
func (s realSDK) dockerBuilds(t *testing.T) map[string]string {
	t.Helper()
	builds := map[string]string{}
	paths, _ := filepath.Glob(filepath.Join(s.dir, "build-*[0-9]"))
	for _, path := range paths {
		text := readFile(t, path)
		builds[regexp.MustCompile(`BASE_IMAGE=.*`).FindString(text)] = text
	}
	return builds
}

// forgetBuilds makes dockerBuilds count anew.
func (s realSDK) forgetBuilds(t *testing.T) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(s.dir, "build-*"))
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func (s realSDK) testFailures(t *testing.T) {
	_, err := s.Build(t.Context(), s.request("base/missing", "missing"))
	var failed *BuildFailure
	if !errors.As(err, &failed) || failed.ReturnCode != 1 || !strings.HasSuffix(failed.Tail, "ERROR: failed to solve: base/missing: not found") {
		t.Errorf("err = %#v, want the BuildFailure of a missing base image", err)
	}
	r := s.request("base/hangs", "hangs")
	r.Timeout = 3 * time.Second
	began := time.Now()
	if _, err := s.Build(t.Context(), r); !errors.Is(err, ErrTimeout) || time.Since(began) > r.Timeout+4*time.Second {
		t.Errorf("err = %v after %s, want ErrTimeout", err, time.Since(began))
	}
	if left, _ := filepath.Glob(filepath.Join(s.options.Dir, "*", "tmp", "*")); len(left) != 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
	unknown := s.request("base/image", "c")
	unknown.Options = map[string]string{"no_such_option": "x"}
	var refused *OptionError
	if _, err := s.Names(t.Context(), []Request{unknown}); !errors.As(err, &refused) {
		t.Errorf("err = %v, want an OptionError", err)
	}
}

// All of the above built one sdist, as uv itself counts it.
func (s realSDK) testOneSdist(t *testing.T) {
	if runs := readFile(t, filepath.Join(s.dir, "uv-builds")); strings.Count(runs, "\n") != 1 {
		t.Errorf("uv built more than once:\n%s", runs)
	}
	out, err := exec.Command("sha256sum", s.sdist.Path).Output()
	if err != nil || !strings.HasPrefix(string(out), s.sdist.SHA256+" ") {
		t.Errorf("sha256sum says %s (%v), we say %s", out, err, s.sdist.SHA256)
	}
	if err := os.Remove(s.sdist.Path); err != nil {
		t.Fatal(err)
	}
	got, err := s.Build(t.Context(), s.request("base/late", "late"))
	if err != nil || got.SdistBuilds != 1 || !got.SdistLost {
		t.Errorf("without the prebuilt sdist: %+v, %v; want one of its own", got, err)
	}
	if runs := readFile(t, filepath.Join(s.dir, "uv-builds")); strings.Count(runs, "\n") != 2 {
		t.Errorf("uv's builds:\n%s", runs)
	}
}
