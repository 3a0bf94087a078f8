package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// repository returns a repository for the test's images that no earlier run has used.
func repository(t *testing.T) string {
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Name()), "-")
	return fmt.Sprintf("e2e/%s-%d", name, time.Now().Unix())
}

// step is `uses: ./` in the lab for these instances, with 2 workers and these changes of inputs.
func step(t *testing.T, repository string, ids []string, more map[string]string) runner.Step {
	t.Helper()
	inputs := map[string]string{
		"sdk-repository":      lab["LAB_SDK_REPOSITORY_INSIDE"],
		"sdk-ref":             lab["LAB_SDK_REF"],
		"sdk-options":         lab["LAB_SDK_OPTIONS"],
		"instance-ids":        strings.Join(ids, "\n"),
		"image":               lab["LAB_REGISTRY_INSIDE"] + "/" + repository,
		"base-image-template": lab["LAB_BASE_IMAGE_TEMPLATE"],
		"builder":             lab["LAB_BUILDER"],
		"max-workers":         "2",
	}
	maps.Copy(inputs, more)
	return runner.Step{
		Image: lab["LAB_ACTION_IMAGE"], Network: lab["LAB_NETWORK"], ActionFile: filepath.Join(root, "action.yml"),
		Inputs: inputs, Workspace: t.TempDir(), Packages: lab["LAB_PACKAGES"], Log: t.Output(), Env: runner.NoHub,
	}
}

// native sets the strategy of tests about the SDK's builds.
var native = map[string]string{"strategy": "native"}

func start(t *testing.T, s runner.Step) *runner.Run {
	t.Helper()
	run, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// checkOutputs checks the exit code and the counts of a run.
func checkOutputs(t *testing.T, got runner.Result, exitCode int, outputs map[string]string) {
	t.Helper()
	if got.ExitCode != exitCode {
		t.Errorf("exit code %d, want %d", got.ExitCode, exitCode)
	}
	for name, want := range outputs {
		if got.Outputs[name] != want {
			t.Errorf("output %s is %q, want %q", name, got.Outputs[name], want)
		}
	}
}

// line is the part of a ledger's line that the tests read.
type line struct {
	InstanceID string   `json:"instance_id"`
	Status     string   `json:"status"`
	Tags       []string `json:"tags"`
	Digest     string   `json:"digest"`
	ErrorClass string   `json:"error_class"`
	Error      string   `json:"error"`
	LogPath    string   `json:"log_path"`
	ReturnCode int      `json:"error_return_code"`
	Attempts   int      `json:"attempt_count"`
	BaseImage  string   `json:"base_image"`
	Strategy   string   `json:"strategy"`
	NotRebased string   `json:"strategy_reason"`
	Wrapped    string   `json:"wrapped"`
}

// ledger reads the ledger that the outputs name, by instance.
func ledger(t *testing.T, workspace string, got runner.Result) map[string]line {
	t.Helper()
	file, err := os.Open(filepath.Join(workspace, got.Outputs["manifest"]))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := map[string]line{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("reading the ledger: %v: %s", err, lines.Text())
		}
		found[l.InstanceID] = l
	}
	return found
}

// digestInRegistry returns the digest of a tag from the lab's registry, or "" if it has none.
func digestInRegistry(t *testing.T, repository, tag string) string {
	t.Helper()
	url := "http://" + lab["LAB_REGISTRY"] + "/v2/" + repository + "/manifests/" + tag
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.Header.Get("Docker-Content-Digest")
	case http.StatusNotFound:
		return ""
	default:
		t.Fatalf("asking for %s: %s", url, answer.Status)
		return ""
	}
}
