package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// Real instances for which the lab has no base image. TestMainJob gives one to the second.
const withoutBase, baseComesLater = "pylint-dev__pylint-4551", "pylint-dev__pylint-4604"

// TestMainJob runs the whole job three times for the same 12 instances: with one base image missing, with that base
// present, and with nothing to do.
func TestMainJob(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	ids := append(instances(t, 11), baseComesLater)
	s := step(t, repo, ids, nil)
	s.Image = countingImage(t)
	var first runner.Result

	t.Run("one base image missing", func(t *testing.T) {
		s := s
		s.Packages = "" // as on a hosted runner, which has none of the SDK's Python packages
		first = start(t, s).Wait()
		checkOutputs(t, first, 1, map[string]string{
			"total": "12", "built": "11", "skipped": "0", "failed": "1",
			"failed-instances": fmt.Sprintf("[%q]", baseComesLater), "seam": "native-field", "strategy": "mixed",
		})
		lines := ledger(t, s.Workspace, first)
		if natives, rebased := made(lines, "native"), made(lines, "rebase"); len(natives) != 3 || len(rebased) != 9 {
			t.Errorf("%d images are native and %d rebased; want the two references and the one without a base, and 9", len(natives), len(rebased))
		}
		lost := lines[baseComesLater]
		if !strings.Contains(lost.NotRebased, "the base image's registry does not have it") {
			t.Errorf("the image without a base was not rebased because of %q", lost.NotRebased)
		}
		if lost.Status != "failed" || lost.ErrorClass != "base-missing" || lost.Attempts != 1 || lost.ReturnCode == 0 || !strings.Contains(lost.Error, "not found") {
			t.Errorf("the image without a base: %+v; want its class, return code and reason", lost)
		}
		if log, err := os.ReadFile(filepath.Join(s.Workspace, lost.LogPath)); err != nil || !strings.Contains(string(log), "not found") {
			t.Errorf("its log %s: %v, %d bytes; want what the build said", lost.LogPath, err, len(log))
		}
		if !strings.Contains(first.Summary, "1 of 12 images is missing") {
			t.Errorf("the summary does not say so:\n%s", first.Summary)
		}
	})
	t.Run("one sdist build, counted on PATH", func(t *testing.T) {
		if runs := sdistBuilds(t, s.Workspace); len(runs) != 1 {
			t.Errorf("uv built %d sdists, want 1: %q", len(runs), runs)
		}
	})
	t.Run("tags are what the evaluation pulls", func(t *testing.T) { tagsAreTheEvaluations(t, s, repo, first) })
	t.Run("an image runs as the agent server", func(t *testing.T) {
		runsAsAgentServer(t, s, first, made(ledger(t, s.Workspace, first), "rebase")[0].InstanceID)
	})

	t.Run("the missing base is there", func(t *testing.T) {
		addBase(t, ids[0], baseComesLater)
		got := start(t, s).Wait()
		checkOutputs(t, got, 0, map[string]string{"total": "12", "built": "1", "skipped": "11", "failed": "0", "strategy": "rebase"})
	})
	t.Run("nothing to do", func(t *testing.T) {
		run := start(t, s)
		workers := watchWorkers(run)
		got := run.Wait()
		checkOutputs(t, got, 0, map[string]string{"total": "12", "built": "0", "skipped": "12", "failed": "0"})
		if len(workers) != 1 {
			t.Errorf("workers that were seen: %v, want the one that names the tags", workers)
		}
		if strings.Contains(got.Log, "Check builder") {
			t.Error("builder and registry were checked although nothing had to be built")
		}
	})
}

// countingImage is an image of the action whose uv records each call in the workspace.
func countingImage(t *testing.T) string {
	t.Helper()
	return derived(t, "counting", "RUN mv /usr/local/bin/uv /usr/local/bin/uv.real",
		`RUN printf '#!/bin/sh\necho "$*" >>/github/workspace/uv-calls\nexec /usr/local/bin/uv.real "$@"\n' >/usr/local/bin/uv`,
		"RUN chmod 755 /usr/local/bin/uv")
}

// derived is the action's image with more instructions.
func derived(t *testing.T, name string, lines ...string) string {
	t.Helper()
	dir, image := t.TempDir(), "eval-images-lab/"+name+"-action"
	write(t, "FROM "+lab["LAB_ACTION_IMAGE"]+"\n"+strings.Join(lines, "\n")+"\n", dir, "Dockerfile")
	docker(t, "build", "--quiet", "--tag", image, dir)
	return image
}

func sdistBuilds(t *testing.T, workspace string) (runs []string) {
	t.Helper()
	calls, err := os.ReadFile(filepath.Join(workspace, "uv-calls"))
	if err != nil {
		t.Fatal(err)
	}
	for call := range strings.Lines(string(calls)) {
		if strings.HasPrefix(call, "build ") {
			runs = append(runs, call)
		}
	}
	return runs
}

// tagsAreTheEvaluations asks the registry as an evaluation does, with the summary's IMAGE_TAG_PREFIX.
func tagsAreTheEvaluations(t *testing.T, s runner.Step, repo string, got runner.Result) {
	prefix, sha := phasedPrefix(t)
	if got.Outputs["sdk-sha"] != sha {
		t.Errorf("output sdk-sha is %s, want %s", got.Outputs["sdk-sha"], sha)
	}
	prefix += "-" + sha7([]byte(lab["LAB_SDK_OPTIONS"]+"\n"))
	if !strings.Contains(got.Summary, prefix) {
		t.Errorf("the summary does not name IMAGE_TAG_PREFIX %s", prefix)
	}
	for id, line := range ledger(t, s.Workspace, got) {
		tag := phasedTag(prefix, id)
		digest := digestInRegistry(t, repo, tag)
		if (digest != "") != (line.Status == "built") || digest != line.Digest {
			t.Errorf("%s is %s with digest %q; the registry has %q under %s", id, line.Status, line.Digest, digest, tag)
		}
	}
}

// phasedPrefix computes OpenHands/benchmarks' get_phased_image_tag_prefix from the SDK's repository alone, and returns
// the commit, too.
func phasedPrefix(t *testing.T) (prefix, sha string) {
	t.Helper()
	return phasedPrefixAt(t, lab["LAB_SDK_REF"])
}

func phasedPrefixAt(t *testing.T, ref string) (prefix, sha string) {
	t.Helper()
	sdk := t.TempDir()
	if _, err := command("git", "clone", "--quiet", "--depth=1", "--branch", ref, lab["LAB_SDK_REPOSITORY"], sdk); err != nil {
		t.Fatal(err)
	}
	sha, err := command("git", "-C", sdk, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile(filepath.Join(sdk, "openhands-agent-server/openhands/agent_server/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return sha[:7] + "-" + sha7(dockerfile), sha
}

func sha7(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:7]
}

// phasedTag is the tag that an evaluation asks for (benchmarks' extract_custom_tag, and the target).
func phasedTag(prefix, id string) string {
	return prefix + "-sweb.eval.x86_64." + strings.ReplaceAll(id, "__", "_1776_") + "-source-minimal"
}

func runsAsAgentServer(t *testing.T, s runner.Step, got runner.Result, id string) {
	inside := ledger(t, s.Workspace, got)[id].Tags[0]
	image := strings.Replace(inside, lab["LAB_REGISTRY_INSIDE"], lab["LAB_REGISTRY"], 1)
	container := docker(t, "run", "--detach", "--rm", image)
	t.Cleanup(func() { command("docker", "rm", "--force", container) })
	// Without a session key it listens on the container's own loopback.
	const ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/server_info', timeout=5).read().decode())"
	var said string
	var err error
	for range 60 {
		if said, err = command("docker", "exec", container, "/agent-server/.venv/bin/python", "-c", ask); err == nil {
			break
		}
		time.Sleep(2 * time.Second)
	}
	if err != nil {
		logs, _ := command("docker", "logs", "--tail=20", container)
		t.Fatalf("the agent server does not answer: %v\n%s", err, logs)
	}
	if !strings.Contains(said, got.Outputs["sdk-sha"]) || !strings.Contains(said, got.Outputs["sdk-version"]) {
		t.Errorf("/server_info says %s; want the SDK's commit %s and version %s", said, got.Outputs["sdk-sha"], got.Outputs["sdk-version"])
	}
}

// watchWorkers samples a run's container until the run ends, and returns the process ids of all workers.
func watchWorkers(run *runner.Run) (pids map[string]bool) {
	ended := make(chan struct{})
	go func() {
		run.Wait()
		close(ended)
	}()
	pids = map[string]bool{}
	for {
		select {
		case <-ended:
			return pids
		case <-time.After(100 * time.Millisecond):
		}
		said, _ := command("docker", "top", run.Container, "-eo", "pid,args") // fails before and after the container is there
		for process := range strings.Lines(said) {
			if strings.Contains(process, "/worker.py ") {
				pids[strings.Fields(process)[0]] = true
			}
		}
	}
}

// TestLockFile reads what an evaluation would read.
func TestLockFile(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	id := instances(t, 1)[0]
	s := step(t, repo, []string{id}, nil)
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "1"})
	content, err := os.ReadFile(filepath.Join(s.Workspace, got.Outputs["lock-file"]))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Images map[string]struct {
			Tags   []string
			Digest string
		}
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, reference := range lock.Images[id].Tags {
		_, tag, _ := strings.Cut(strings.TrimPrefix(reference, lab["LAB_REGISTRY_INSIDE"]), ":")
		digests[digestInRegistry(t, repo, tag)] = true
	}
	if diff := cmp.Diff(map[string]bool{lock.Images[id].Digest: true}, digests); diff != "" || len(lock.Images[id].Tags) != 2 {
		t.Errorf("the lock file's %d tags are not on its digest (-lock +registry):\n%s", len(lock.Images[id].Tags), diff)
	}
}

// TestDefaultTags reads the SDK's docker command: without sdk-options, images get the tags that an evaluation asks for
// without an IMAGE_TAG_PREFIX. The lab cannot build with the default options, which download Node.
func TestDefaultTags(t *testing.T) {
	t.Parallel()
	s := step(t, repository(t), []string{withoutBase}, map[string]string{"sdk-options": ""})
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"failed": "1"})
	log, err := os.ReadFile(filepath.Join(s.Workspace, ledger(t, s.Workspace, got)[withoutBase].LogPath))
	if err != nil {
		t.Fatal(err)
	}
	prefix, _ := phasedPrefix(t)
	// The SDK's log breaks long words at the width of its terminal.
	whole := strings.Join(strings.Fields(string(log)), "")
	if tag := ":" + phasedTag(prefix, withoutBase); !strings.Contains(whole, tag) {
		t.Errorf("no tag %s in the SDK's command:\n%s", tag, log)
	}
}

// TestSdistFails: if the prebuilt sdist fails, the run warns, and each image makes its own.
func TestSdistFails(t *testing.T) {
	t.Parallel()
	s := step(t, repository(t), instances(t, 1), nil)
	s.Image = derived(t, "no-sdist", "RUN mv /usr/local/bin/uv /usr/local/bin/uv.real",
		`RUN printf '#!/bin/sh\nif [ "$1" = build ] && mkdir /github/workspace/failed 2>/dev/null; then echo "error: no sdist today" >&2; exit 2; fi\n`+
			`echo "$*" >>/github/workspace/uv-calls\nexec /usr/local/bin/uv.real "$@"\n' >/usr/local/bin/uv`,
		"RUN chmod 755 /usr/local/bin/uv")
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "1", "sdist-seconds": ""})
	if runs := sdistBuilds(t, s.Workspace); len(runs) != 1 {
		t.Errorf("the image made %d sdists, want its own: %q", len(runs), runs)
	}
	warned := slices.ContainsFunc(got.Annotations, func(a runner.Annotation) bool {
		return a.Level == "warning" && strings.Contains(a.Message, "no sdist today")
	})
	if !warned || !strings.Contains(got.Summary, "no sdist today") {
		t.Errorf("no warning of the failed sdist: %+v\n%s", got.Annotations, got.Summary)
	}
}
