package docker

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
)

var (
	metadata = regexp.MustCompile(`load metadata for (\S+)`)
	own      = []string{"base-image-minimal", "base-image", "source-minimal"}
)

// samples are what docker buildx printed, by class; testdata/samples/README.md says how each was made.
func samples(t *testing.T) map[failure.Class][]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/samples/*/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[failure.Class][]string{}
	for _, path := range paths {
		class := failure.Class(filepath.Base(filepath.Dir(path)))
		found[class] = append(found[class], path)
	}
	return found
}

// baseOf is the base image of a sample: the one of a benchmark, or the only one.
func baseOf(output string) string {
	base := ""
	for _, image := range metadata.FindAllStringSubmatch(output, -1) {
		if name := strings.TrimSuffix(image[1], ":"); base == "" || strings.Contains(name, "/swebench/") {
			base = name
		}
	}
	return base
}

func failureOf(t *testing.T, tail, base string) *failure.Error {
	t.Helper()
	var got *failure.Error
	if !errors.As(BuildFailure(1, tail, errors.New("docker ended with 1"), base, own), &got) {
		t.Fatal("no failure.Error")
	}
	return got
}

// The log gets a line at its end, and docker may end without one.
func TestBuildFailureNamesALastLineWithoutAnEnd(t *testing.T) {
	bin := t.TempDir()
	fakeDocker(t, bin, "cat >/dev/null; printf 'one\\nERROR: no proxy http://token@proxy:1'; exit 1")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	log := filepath.Join(bin, "log")
	err := Build(t.Context(), os.Environ(), log, 0, nil, "", "FROM scratch\n", "x/y:z")
	text, _ := os.ReadFile(log)
	if want := "ERROR: no proxy http://***@proxy:1"; err == nil || !strings.HasSuffix(err.Error(), want) || strings.Count(string(text), want+"\n") != 1 {
		t.Errorf("%v, and the log\n%s\nwant %q at the end of both", err, text, want)
	}
}

func TestSamples(t *testing.T) {
	for class, paths := range samples(t) {
		for _, path := range paths {
			t.Run(strings.TrimPrefix(path, "testdata/samples/"), func(t *testing.T) {
				output, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got := failureOf(t, string(output), baseOf(string(output))); got.Class != class {
					t.Errorf("class %s, want %s; it ended with %q", got.Class, class, parseOutput(string(output)).message)
				}
			})
		}
	}
}

// Every class that a command's output shows has a real sample.
func TestEveryClassHasASample(t *testing.T) {
	found := samples(t)
	for _, class := range []failure.Class{
		failure.ClassBaseMissing, failure.ClassAuth, failure.ClassQuota, failure.ClassRateLimit, failure.ClassRegistry, failure.ClassNetwork,
		failure.ClassEngine, failure.ClassDisk, failure.ClassBuild, failure.ClassShared,
	} {
		if len(found[class]) == 0 {
			t.Errorf("no sample of %s", class)
		}
	}
}

// A build's output says many things that are not its failure.
func TestOnlyTheEndingCounts(t *testing.T) {
	const ending = "------\n > [base-image-minimal 3/5] RUN make:\n#9 1.0 building\n------\nDockerfile:7\n--------------------\n   7 | >>> RUN make\n" +
		"--------------------\nERROR: failed to build: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2"
	cases := []struct {
		name, tail string
		want       failure.Class
		shared     string
	}{
		{"a step failed", ending, failure.ClassBuild, ""},
		{"the ACP probe's warning means nothing", "#8 1.0 node is not compatible with this base; 429 Too Many Requests; no space left on device\n" + ending, failure.ClassBuild, ""},
		{"an ERROR line that was not the last", "ERROR: no space left on device\n" + ending, failure.ClassBuild, ""},
		{"a step may say not found and 403 Forbidden", strings.Replace(ending, "building", "make: cc: not found; 403 Forbidden; unauthorized: x", 1), failure.ClassBuild, ""},
		{"a step met a full disk", strings.Replace(ending, "building", "cc: error writing: No space left on device", 1), failure.ClassDisk, ""},
		{"a step met no network", strings.Replace(ending, "building", "curl: (6) Could not resolve host: nodejs.org", 1), failure.ClassNetwork, ""},
		{"a step met another architecture", strings.Replace(ending, "building", "exec /bin/sh: exec format error", 1), failure.ClassPlatform, ""},
		{"a step printed that of another program", strings.Replace(ending, "building", "sh: 1: ./tool: Exec format error", 1), failure.ClassBuild, ""},
		{"a step may distrust a server of its own", strings.Replace(ending, "building", "x509: certificate signed by unknown authority", 1), failure.ClassBuild, ""},
		{"a stage of all images", strings.Replace(ending, "base-image-minimal 3/5", "builder 3/5", 1), failure.ClassShared, "stage builder"},
		{"a stage of all images, for a platform", strings.Replace(ending, "base-image-minimal 3/5", "linux/amd64 acp-providers  3/15", 1), failure.ClassShared, "stage acp-providers"},
		{
			"a stage of all images met no network", strings.NewReplacer("base-image-minimal", "acp-providers", "building", "npm error code EAI_AGAIN").Replace(ending),
			failure.ClassNetwork, "stage acp-providers",
		},
		{"a Dockerfile of one stage has no names", strings.Replace(ending, "base-image-minimal 3/5", "3/5", 1), failure.ClassBuild, ""},
		{
			"an image that all need", "ERROR: failed to build: failed to solve: python:3.13-bookworm: failed to resolve source metadata for docker.io/library/python:3.13-bookworm: docker.io/library/python:3.13-bookworm: not found",
			failure.ClassShared, "image docker.io/library/python:3.13-bookworm",
		},
		{
			"an image that all need, over quota", "ERROR: failed to solve: failed to resolve source metadata for docker.io/docker/dockerfile:1.7: unexpected status: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit.",
			failure.ClassQuota, "image docker.io/docker/dockerfile:1.7",
		},
		{"the base, named in short", "ERROR: failed to solve: failed to resolve source metadata for docker.io/swebench/x:latest: docker.io/swebench/x:latest: not found", failure.ClassBaseMissing, ""},
		{
			"a private base or none", "ERROR: failed to solve: swebench/x: failed to resolve source metadata for docker.io/swebench/x:latest: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
			failure.ClassBaseMissing, "",
		},
		{"numbers in names are no status", "ERROR: failed to solve: failed to push r/django-429/x-503:403-a: something new", failure.ClassBuild, ""},
		{"ghcr.io, without a word", "ERROR: failed to build: failed to solve: failed to push ghcr.io/o/i:t: unexpected status from HEAD request to https://ghcr.io/v2/o/i/blobs/sha256:aa: 403 Forbidden", failure.ClassRateLimit, ""},
		{"no right to a base at ghcr.io", "ERROR: failed to build: failed to solve: swebench/x: failed to resolve source metadata for docker.io/swebench/x:latest: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=repository%3Ax: 403 Forbidden", failure.ClassAuth, ""},
		{"a base that a front end of its own does not find", "ERROR: failed to solve: docker.io/swebench/x:latest: not found", failure.ClassBaseMissing, ""},
		{"an image that all need, by the vertex", "------\n > [internal] load metadata for ghcr.io/astral-sh/uv:0.13.5:\n------\nERROR: failed to solve: unexpected status: 503 Service Unavailable", failure.ClassRegistry, "image ghcr.io/astral-sh/uv:0.13.5"},
		{"the Dockerfile front end", "------\n > resolve image config for docker-image://docker.io/docker/dockerfile:1.7:\n------\nERROR: failed to solve: docker.io/docker/dockerfile:1.7: not found", failure.ClassShared, "image docker.io/docker/dockerfile:1.7"},
		{"layers of an image that all need", "------\n > [builder 1/9] FROM docker.io/library/python:3.13-bookworm@sha256:aa:\n------\nERROR: failed to solve: failed to copy: read tcp 1.2.3.4:5->6.7.8.9:443: read: connection reset by peer", failure.ClassNetwork, "stage builder"},
		{"a file that the context lacks", "------\n > [source-minimal 2/2] COPY x /x:\n------\nERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref abc::def: \"/x\": not found", failure.ClassBuild, ""},
		{"nothing at all", "", failure.ClassBuild, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := failureOf(t, c.tail, "swebench/x")
			if got.Class != c.want || got.Shared != c.shared {
				t.Errorf("class %s, shared %q; want %s, %q", got.Class, got.Shared, c.want, c.shared)
			}
		})
	}
}

// Without the Dockerfile no stage is known to be one image's own, and none is taken for one of all.
func TestUnknownStages(t *testing.T) {
	if got := sharedStage("[builder 3/5] RUN x", nil); got != "" {
		t.Errorf("shared %q", got)
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	// ghcr.io answers so, in any unit.
	tail := "ERROR: failed to build: failed to solve: failed to push ghcr.io/o/i:t: 429 Too Many Requests\ntoomanyrequests: retry-after: 1m2.5s, allowed: 44000/minute"
	if got := failureOf(t, tail, "b"); got.RetryAfter != 62500*time.Millisecond {
		t.Errorf("RetryAfter = %v", got.RetryAfter)
	}
}

func TestOwnStages(t *testing.T) {
	const dockerfile = `# syntax=docker/dockerfile:1.7
ARG BASE_IMAGE=python-node-runtime
FROM --platform=$BUILDPLATFORM python:3.13-bookworm AS builder
RUN echo FROM nowhere
FROM builder AS binary-builder
from python:3.13-bookworm as acp-providers
FROM ${BASE_IMAGE} AS Base-Image-Minimal
FROM base-image-minimal AS base-image
FROM base-image AS source
FROM base-image-minimal AS source-minimal
FROM scratch AS lonely
`
	want := []string{"base-image-minimal", "base-image", "source", "source-minimal"}
	if diff := cmp.Diff(want, BaseStages(dockerfile)); diff != "" {
		t.Error(diff)
	}
}
