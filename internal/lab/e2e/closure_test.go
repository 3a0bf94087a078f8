package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/sdkrepo"
	"github.com/OpenHands/eval-images/internal/sdk/closure"
)

const baseStage = "base-image-minimal"

// TestClosuresOfReleases hashes the base stage of each SDK release from August to October 2026, and of the one before.
// Releases in one row share their eval-bases. It imports no module, because each release would need an environment of
// 140 packages. The arguments are those that build() passes in all releases; those that some pass besides are defaults
// in the Dockerfile. TestRealSDK captures the real arguments of one release.
func TestClosuresOfReleases(t *testing.T) {
	all, versions := releases(t)
	dockerfiles, row := map[string]bool{}, map[string]int{}
	var rows [][]string
	for _, version := range versions {
		r := all[version]
		dockerfiles[r.dockerfile] = true
		if _, known := row[r.closure]; !known {
			row[r.closure] = len(rows)
			rows = append(rows, nil)
		}
		rows[row[r.closure]] = append(rows[row[r.closure]], version)
	}
	want := [][]string{
		{"1.43.1"},
		{"1.44.0"}, // the stage acp-providers
		{"1.44.1"}, // an argument for it
		{"1.45.0", "1.46.0", "1.47.0"},
		{"1.48.0", "1.49.0", "1.49.1", "1.49.2", "1.49.3", "1.49.4"},
		{"1.49.5", "1.49.6", "1.50.0", "1.50.1", "1.51.0", "1.52.0", "1.53.0"},
		{"1.54.0", "1.55.0", "1.55.1", "1.56.0", "1.57.0", "1.58.0", "1.58.1"},
		{"1.58.2"}, // another node in acp-providers
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("releases that share a closure (-want +got):\n%s", diff)
	}
	if len(dockerfiles) != 11 {
		t.Errorf("%d Dockerfiles, want 11", len(dockerfiles))
	}
	// Neither the stage's text nor the whole file would give the same rows.
	if before, after := all["1.58.1"], all["1.58.2"]; before.stage != after.stage || before.closure == after.closure {
		t.Error("1.58.2 has not another closure with the same text of the stage")
	}
	if before, after := all["1.54.0"], all["1.56.0"]; before.dockerfile == after.dockerfile || before.closure != after.closure {
		t.Error("1.56.0 has not the same closure with another Dockerfile")
	}
}

// release has the inputs of a release's eval-bases: the Dockerfile, the text of the base stage in it, and the stage's
// closure.
type release struct{ dockerfile, stage, closure string }

// releases returns the lab's releases by version, and the versions, which sort as text.
func releases(t *testing.T) (all map[string]release, versions []string) {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(checkout)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := sdkrepo.Releases(t.Context(), e, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]release{}
	for _, entry := range entries {
		all[entry.Name()] = readRelease(t, filepath.Join(folder, entry.Name()))
		versions = append(versions, entry.Name())
	}
	return all, versions
}

func readRelease(t *testing.T, folder string) release {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]string{"BASE_IMAGE": "base/image", "OPENHANDS_BUILD_GIT_SHA": "unknown", "OPENHANDS_BUILD_GIT_REF": "unknown"}
	made, err := closure.Of(closure.Inputs{
		Dockerfile: text, Args: args, Context: os.DirFS(folder), Target: baseStage, Platform: "linux/amd64",
	})
	if err != nil || made.WholeFile {
		t.Fatalf("%s: closure %+v, error %v", folder, made, err)
	}
	if !closure.DirectlyOn(text, "source-minimal", baseStage) || closure.DirectlyOn(text, "source", baseStage) {
		t.Errorf("%s: source-minimal, and not source, should be directly on %s", folder, baseStage)
	}
	_, stage, _ := strings.Cut(string(text), " AS "+baseStage+"\n")
	stage, _, ok := strings.Cut(stage, "\nFROM ")
	if !ok {
		t.Fatalf("%s: no stage %s", folder, baseStage)
	}
	return release{string(text), stage, made.Hash}
}
