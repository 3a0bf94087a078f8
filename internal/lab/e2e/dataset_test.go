package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// pushBaseAs pushes the base image under both tags that a run would give an instance, and returns the short tag.
func pushBaseAs(t *testing.T, repo, id string) string {
	t.Helper()
	return pushOtherBaseAs(t, repo, id, id)
}

// pushOtherBaseAs pushes the base image of another instance, for one that has none in the lab.
func pushOtherBaseAs(t *testing.T, repo, other, id string) string {
	t.Helper()
	prefix, sha := phasedPrefix(t)
	rest := strings.TrimPrefix(prefix, sha[:7]) + "-" + sha7([]byte(lab["LAB_SDK_OPTIONS"]+"\n"))
	short := phasedTag(sha[:7]+rest, id)
	for _, tag := range []string{short, phasedTag(sha+rest, id)} {
		if err := crane.Copy(baseImage(other), lab["LAB_REGISTRY"]+"/"+repo+":"+tag); err != nil {
			t.Fatal(err)
		}
	}
	return short
}

// TestDryRun plans two images, one of which exists, without a builder and an engine. It leaves neither ledger nor
// image.
func TestDryRun(t *testing.T) {
	t.Parallel()
	repo, ids := repository(t), instances(t, 2)
	there := pushBaseAs(t, repo, ids[0])
	missing := strings.TrimSuffix(there, phasedTag("", ids[0])) + phasedTag("", ids[1])
	s := step(t, repo, ids, map[string]string{"dry-run": "true", "builder": ""})
	s.Image = derived(t, "no-docker", "ENV DOCKER_HOST=tcp://127.0.0.1:1", "RUN rm /usr/bin/docker")
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"total": "2", "built": "0", "skipped": "1", "failed": "0", "manifest": "", "seam": "native-field"})
	for _, tag := range []string{there, missing} {
		if !strings.Contains(got.Summary, tag) || !strings.Contains(got.Log, tag) {
			t.Errorf("no tag %s in the summary:\n%s", tag, got.Summary)
		}
	}
	if !strings.Contains(got.Summary, "Work left: 1 build;") || !strings.Contains(got.Summary, "exists: "+digestInRegistry(t, repo, there)) {
		t.Errorf("the summary does not tell the work left:\n%s", got.Summary)
	}
	if digest := digestInRegistry(t, repo, missing); digest != "" {
		t.Errorf("it made %s", digest)
	}
	filepath.WalkDir(s.Workspace, func(path string, entry os.DirEntry, _ error) error {
		if name := entry.Name(); strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".jsonl") {
			t.Errorf("it left %s", path)
		}
		return nil
	})
}

// TestShardsMerged has two shards do one run's work, each in its own workspace, as two jobs do.
func TestShardsMerged(t *testing.T) {
	t.Parallel()
	repo, ids := repository(t), instances(t, 3)
	for _, id := range ids {
		pushBaseAs(t, repo, id)
	}
	top := t.TempDir()
	runs := map[string]*runner.Run{}
	for name, shard := range map[string]string{"whole": "", "one": "1/2", "two": "2/2"} {
		s := step(t, repo, ids, map[string]string{"shard": shard})
		s.Workspace = filepath.Join(top, name)
		if err := os.Mkdir(s.Workspace, 0o755); err != nil {
			t.Fatal(err)
		}
		runs[name] = start(t, s)
	}
	for name, total := range map[string]string{"whole": "3", "one": "2", "two": "1"} {
		checkOutputs(t, runs[name].Wait(), 0, map[string]string{"total": total, "built": "0"})
	}
	said := docker(t, "run", "--rm", "-v", top+":/top", "-w", "/top", lab["LAB_ACTION_IMAGE"], "merge", "one", "two")
	if !strings.Contains(said, "3 images already exist") {
		t.Errorf("the merge says\n%s", said)
	}
	wholes, err := filepath.Glob(filepath.Join(top, "whole", "builds", "*", "*", "*"))
	if err != nil || len(wholes) != 1 {
		t.Fatal(wholes, err)
	}
	for file, fields := range map[string][]string{
		"build-summary.json": {"total", "built", "skipped", "failed", "not_started", "status_counts", "skip_reasons", "failed_builds"},
		"images.lock.json":   {"sdk_sha", "image", "image_tag_prefix", "images"},
	} {
		if diff := cmp.Diff(fieldsOf(t, filepath.Join(wholes[0], file), fields), fieldsOf(t, filepath.Join(top, file), fields)); diff != "" {
			t.Errorf("%s (-one run +merged):\n%s", file, diff)
		}
	}
}

func fieldsOf(t *testing.T, path string, names []string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if !slices.Contains(names, name) {
			delete(fields, name)
		}
	}
	if len(fields) != len(names) {
		t.Errorf("%s has %d of the fields %q", path, len(fields), names)
	}
	return fields
}
