package e2e

import (
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPythonIsFetched: where the image lacks the Python that the SDK names, uv fetches it, and a warning says that this takes time. Here
// uv finds the one that was removed, packed as for the lab's python images.
func TestPythonIsFetched(t *testing.T) {
	t.Parallel()
	recipe := filepath.Join(root, "internal/lab/standin/recipes/python")
	dockerfile, err := os.ReadFile(filepath.Join(recipe, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(recipe, "downloads.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, pack, _ := strings.Cut(string(dockerfile), "\nRUN ")
	pack, _, _ = strings.Cut(pack, "\nCOPY ")
	s := step(t, repository(t), instances(t, 1), map[string]string{"dry-run": "true"})
	s.Image = derived(t, "fetched-python", "RUN "+pack,
		"RUN echo "+base64.StdEncoding.EncodeToString(list)+" | base64 --decode >/opt/pbs/downloads.json && rm /usr/bin/python3.13")
	s.Env = maps.Clone(s.Env)
	s.Env["UV_PYTHON_DOWNLOADS_JSON_URL"] = "/opt/pbs/downloads.json"
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"total": "1"})
	const warning = "Python 3.13, which this SDK names, is not installed here: uv has fetched it, which takes time in each run."
	if !strings.Contains(got.Log, "::warning") || !strings.Contains(got.Log, warning) || !strings.Contains(got.Log, "resolve-tags took") {
		t.Errorf("the log does not say that Python was fetched, or the SDK did not name its tags:\n%s", got.Log)
	}
}
