package sdk

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

// A capture of the base stage runs nothing, and is what the release gives docker for it: all that its hash needs.
func (s realSDK) testCapture(t *testing.T) {
	s.forgetBuilds(t)
	request := s.request("base/image:0", "abcdef0")
	request.Target, request.GitSHA = "base-image-minimal", "unknown"
	if !strings.Contains(s.source(t), `"base-image-minimal"`) { // Before 1.15.0 it could not be built by itself.
		var refused *OptionError
		if _, err := s.Capture(t.Context(), request); !errors.As(err, &refused) {
			t.Errorf("err = %v, want an OptionError", err)
		}
		request.Target = "source-minimal"
	}
	twoFiles := strings.Contains(s.source(t), "_ACP_INSTALL_CATALOG_RELPATH")
	if twoFiles { // And then no sdist is needed.
		request.Sdist = ""
	}
	if _, err := s.Describe(t.Context()); err != nil { // Its import is not the capture's time.
		t.Fatal(err)
	}
	began := time.Now()
	got, err := s.Capture(t.Context(), request)
	if err != nil {
		t.Fatalf("%v\n%s", err, readFile(t, request.LogPath))
	}
	t.Logf("the capture took %s", time.Since(began))
	if builds := s.dockerBuilds(t); len(builds) != 0 {
		t.Errorf("docker ran: %v", builds)
	}
	if got.Target != request.Target || got.Platform != "linux/amd64" || got.Dockerfile != readFile(t, s.checkout.Root+"/"+dockerfilePath) {
		t.Errorf("target %s, platform %s, or another Dockerfile than the checkout's:\n%s", got.Target, got.Platform, got.Dockerfile)
	}
	passed := slices.Sorted(maps.Keys(got.Args))
	want := []string{"BASE_IMAGE", "OPENHANDS_BUILD_GIT_REF", "OPENHANDS_BUILD_GIT_SHA"}
	if twoFiles {
		want = []string{"BASE_IMAGE", "INSTALL_ACP_PROVIDERS", "INSTALL_CAPABILITIES", "OPENHANDS_BUILD_GIT_REF", "OPENHANDS_BUILD_GIT_SHA"}
		files := slices.Sorted(maps.Keys(contents(t, got.Dir)))
		if diff := cmp.Diff([]string{"Dockerfile", "openhands-sdk/openhands/sdk/settings/acp_install_catalog.py"}, files); diff != "" {
			t.Errorf("context (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(want, passed); diff != "" || got.Args["OPENHANDS_BUILD_GIT_SHA"] != "unknown" {
		t.Errorf("SHA %s; arguments (-want +got):\n%s", got.Args["OPENHANDS_BUILD_GIT_SHA"], diff)
	}
	if tags := strings.Count(strings.Join(got.Argv, "\n"), "--tag\n"+s.image+":unknown-abcdef0-"+request.Target+"\n"); tags != 1 {
		t.Errorf("%d tags of that name: %q", tags, got.Argv)
	}
	key, err := basekey.Of(basekey.Inputs{
		Dockerfile: []byte(got.Dockerfile), Args: got.Args, Context: os.DirFS(got.Dir), Target: got.Target, Platform: got.Platform,
	})
	if err != nil || key.WholeFile {
		t.Errorf("base key %+v, error %v", key, err)
	}
	if !basekey.DirectlyOn([]byte(got.Dockerfile), "source-minimal", "base-image-minimal") {
		t.Error("source-minimal is not directly on base-image-minimal")
	}
	uses, err := basekey.UsesOf([]byte(got.Dockerfile), "source-minimal")
	if diff := cmp.Diff(basekey.Uses{Variables: []string{"USERNAME"}}, uses); diff != "" || err != nil {
		t.Errorf("what source-minimal takes in, so that no base image of a benchmark is refused (-want +got): %v\n%s", err, diff)
	}
}
