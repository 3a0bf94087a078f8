package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/sdkrepo"
	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

const baseStage = "base-image-minimal"

// TestBaseKeysOfReleases computes the base keys of the SDK's releases from August to October 2026, and of the one before.
// Releases in one row share their eval-bases. A key that changes makes all eval-bases of a release anew, which takes hours.
// No module is imported, because each release would need an environment of its own with 140 packages. The arguments are
// those that build() passes in all releases; the others have the same values by default in the Dockerfile. TestRealSDK
// captures the real ones of one release.
func TestBaseKeysOfReleases(t *testing.T) {
	t.Parallel()
	all, versions := releases(t)
	dockerfiles, got := map[string]bool{}, map[string][]string{}
	for _, version := range versions {
		r := all[version]
		dockerfiles[r.dockerfile] = true
		got[r.baseKey] = append(got[r.baseKey], version)
	}
	want := map[string][]string{
		"e7782c04439455e198831a8303aeb5a47811e543d84f04869775b707262d46ee": {"1.43.1"},
		// the stage acp-providers
		"1eef29aa46936d07887aff771d57dfa4142504dad725356b8b7fad60b9767cc7": {"1.44.0"},
		// an argument for it
		"2d5404958d4c6fc23fbc1f0bf79defcd10e143ef7fd445dac35716c90f8cd83a": {"1.44.1"},
		"50ce1827c4e8f025f71f8de4e498b622c53f5dee6314ecce11d603999bd431fc": {"1.45.0", "1.46.0", "1.47.0"},
		"6ee58e60cc8304140300d27d8e9351945facd595e337f9e73ecd3d75f9bd7f84": {"1.48.0", "1.49.0", "1.49.1", "1.49.2", "1.49.3", "1.49.4"},
		"d505defc2ca220036119b9cb257f67f3d4ef12bceb8c02632e3cb015220abe6d": {"1.49.5", "1.49.6", "1.50.0", "1.50.1", "1.51.0", "1.52.0", "1.53.0"},
		"9516308a837684fcc9fb541a4ab3a217c57a52a7c10d8e35aae9390761b9d288": {"1.54.0", "1.55.0", "1.55.1", "1.56.0", "1.57.0", "1.58.0", "1.58.1"},
		// another node in acp-providers
		"3c9b4817ac109ce53c72cec84c4aa9ca5eafc9f5d0822d00f68403a47ca45f91": {"1.58.2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("releases by base key (-want +got):\n%s", diff)
	}
	if len(dockerfiles) != 11 {
		t.Errorf("%d Dockerfiles, want 11", len(dockerfiles))
	}
	// Neither the stage's own text nor the whole file would do.
	if before, after := all["1.58.1"], all["1.58.2"]; before.stage != after.stage || before.baseKey == after.baseKey {
		t.Error("1.58.2 does not have another base key with the same text of the stage")
	}
	if before, after := all["1.54.0"], all["1.56.0"]; before.dockerfile == after.dockerfile || before.baseKey != after.baseKey {
		t.Error("1.56.0 does not have the same base key with another Dockerfile")
	}
}

// release has the text of a release's Dockerfile, the text of the base stage in it, and the hash of its base key.
type release struct{ dockerfile, stage, baseKey string }

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
	key, err := basekey.Of(basekey.Inputs{
		Dockerfile: text, Args: args, Context: os.DirFS(folder), Target: baseStage, Platform: "linux/amd64",
	})
	if err != nil || key.WholeFile {
		t.Fatalf("%s: base key %+v, error %v", folder, key, err)
	}
	if !basekey.DirectlyOn(text, "source-minimal", baseStage) || basekey.DirectlyOn(text, "source", baseStage) {
		t.Errorf("%s: source-minimal, and not source, should be directly on %s", folder, baseStage)
	}
	uses, err := basekey.UsesOf(text, "source-minimal")
	if diff := cmp.Diff(basekey.Uses{Variables: []string{"USERNAME"}}, uses); diff != "" || err != nil {
		t.Errorf("%s: what source-minimal takes in (-want +got): %v\n%s", folder, err, diff)
	}
	_, stage, _ := strings.Cut(string(text), " AS "+baseStage+"\n")
	stage, _, ok := strings.Cut(stage, "\nFROM ")
	if !ok {
		t.Fatalf("%s: no stage %s", folder, baseStage)
	}
	return release{string(text), stage, key.Hash}
}
