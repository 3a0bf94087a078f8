package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const fixture = "eval-images-lab/runner-fixture"

func TestStepInAContainer(t *testing.T) {
	buildFixture(t)
	workspace := t.TempDir()
	if err := os.WriteFile(filepath.Join(workspace, "given"), []byte("one\ntwo"), 0o644); err != nil {
		t.Fatal(err)
	}
	run, err := Step{
		Image:      fixture,
		ActionFile: "testdata/action.yml",
		Inputs:     map[string]string{"sdk-ref": "report"},
		Workspace:  workspace,
	}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Result{
		ExitCode:   3,
		Conclusion: "failure",
		Outputs: map[string]string{
			"workers": "8",
			"where":   "/github/workspace /github/home /github/runner_temp",
			"flags":   "true true 0 /dev/null",
			"file":    "one\ntwo",
			"mounts":  "there",
		},
		Summary: "# Done ***\n",
		Annotations: []Annotation{
			{"notice", "both streams are read", map[string]string{}},
			{"warning", "slow ***", map[string]string{}},
		},
	}
	got := run.Wait()
	slices.SortFunc(got.Annotations, func(a, b Annotation) int { return strings.Compare(a.Level, b.Level) })
	for _, line := range []string{"::add-mask::***\n", "::warning::slow ***\n", "::notice::both streams are read\n"} {
		if !strings.Contains(got.Log, line) {
			t.Errorf("the log lacks %q:\n%s", line, got.Log)
		}
	}
	got.Log = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(workspace, "made")); err != nil {
		t.Errorf("the step's file is not in the workspace: %v", err)
	}
	post, err := run.Post(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if post.ExitCode != 0 || post.Summary != "# Post of report, saved one\n" {
		t.Errorf("the post step ended with %d and the summary %q", post.ExitCode, post.Summary)
	}
	if post, err = run.PostWithoutState(t.Context()); err != nil || post.Summary != "# Post of report, saved \n" {
		t.Errorf("the post step without state: %v and the summary %q", err, post.Summary)
	}
}

func TestCancel(t *testing.T) {
	buildFixture(t)
	cases := map[string]struct {
		atLeast, atMost time.Duration
		exitCode        int
		summary         string
		outlives        bool
	}{
		"polite":   {0, afterInterrupt, 0, "stopped\n", false},
		"stubborn": {afterInterrupt + afterTerminate, afterInterrupt + afterTerminate + 3*time.Second, -1, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := make(marker)
			run, err := Step{
				Image:     fixture,
				Inputs:    map[string]string{"sdk-ref": name},
				Workspace: t.TempDir(),
				Log:       started,
			}.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { exec.Command("docker", "rm", "--force", run.Container).Run() })
			<-started
			begin := time.Now()
			run.Cancel()
			took := time.Since(begin)
			if took < c.atLeast || took > c.atMost {
				t.Errorf("cancelling took %s, want %s to %s", took, c.atLeast, c.atMost)
			}
			got := run.Wait()
			if got.Conclusion != "cancelled" || got.ExitCode != c.exitCode || got.Summary != c.summary {
				t.Errorf("got %+v", got)
			}
			if alive := isRunning(t, run.Container); alive != c.outlives {
				t.Errorf("the container runs: %t, want %t", alive, c.outlives)
			}
		})
	}
}

// marker is a log that is closed by the line "started".
type marker chan struct{}

func (m marker) Write(line []byte) (int, error) {
	if string(line) == "started\n" {
		close(m)
	}
	return len(line), nil
}

func isRunning(t *testing.T, container string) bool {
	t.Helper()
	out, err := exec.Command("docker", "ps", "--quiet", "--filter", "name="+container).Output()
	if err != nil {
		t.Fatal(err)
	}
	return len(out) > 0
}

// buildFixture builds the action for the tests. Only -short skips the tests that need it.
func buildFixture(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	build := exec.Command("docker", "build", "--quiet", "--tag", fixture, "testdata")
	build.Env = append(build.Environ(), "DOCKER_BUILDKIT=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the fixture: %v\n%s", err, out)
	}
}

func writeCommandFile(t *testing.T, j job, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.commands(), name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
