package e2e

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// ownBuilder is a step with its own builder, which needs the lab's settings to reach the registry.
func ownBuilder(t *testing.T, ids []string, more map[string]string) runner.Step {
	t.Helper()
	inputs := map[string]string{"builder": "", "buildkitd-config-inline": labConfig(t)}
	maps.Copy(inputs, more)
	return step(t, repository(t), ids, inputs)
}

// labConfig is the buildkitd.toml of the lab's builder.
func labConfig(t *testing.T) string {
	t.Helper()
	toml, err := os.ReadFile(filepath.Join(root, "internal/lab/services/buildkitd.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(toml)
}

// builderOf returns the name of the builder that a run makes, from its log.
func builderOf(t *testing.T, log string) string {
	t.Helper()
	_, rest, found := strings.Cut(log, "making builder ")
	name, _, _ := strings.Cut(rest, " ")
	if !found || !strings.HasPrefix(name, "eval-images-run-") {
		t.Fatalf("the log names no builder of the run's own, but %q", name)
	}
	return name
}

// parts returns the container and the volume of a builder, if the engine has them.
func parts(t *testing.T, builder string) string {
	t.Helper()
	node := "buildx_buildkit_" + builder + "0"
	return docker(t, "ps", "--all", "--format", "{{.Names}}", "--filter", "name="+node) +
		docker(t, "volume", "ls", "--format", "{{.Name}}", "--filter", "name="+node)
}

// others checks that a builder of somebody else still runs.
func others(t *testing.T) {
	t.Helper()
	if running := docker(t, "inspect", "--format", "{{.State.Running}}", "buildx_buildkit_"+lab["LAB_BUILDER"]+"0"); running != "true" {
		t.Error("the lab's own builder does not run any more")
	}
}

func nothingLeft(t *testing.T, builder string) {
	t.Helper()
	if left := parts(t, builder); left != "" {
		t.Errorf("of builder %s is left: %s", builder, left)
	}
	others(t)
}

// waitForBuild waits until a run's own builder has something in its cache, in the middle of the first build, and
// returns the builder's name.
func waitForBuild(t *testing.T, run *runner.Run) string {
	t.Helper()
	waitFor(t, run, "the registry accepts pushes")
	said, err := command("docker", "logs", run.Container)
	if err != nil {
		t.Fatal(err)
	}
	name := builderOf(t, said)
	waitForCache(t, name)
	return name
}

// waitForCache waits until a new builder has something in its cache.
func waitForCache(t *testing.T, builder string) {
	t.Helper()
	for range 300 {
		if cacheSize(t, builder) > 1_000_000 {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("builder %s does not begin to build", builder)
}

// TestOwnBuilderIsRemoved: runs that fail or are cancelled remove their builder, too.
func TestOwnBuilderIsRemoved(t *testing.T) {
	t.Run("an end before the first build", func(t *testing.T) {
		t.Parallel()
		got := start(t, ownBuilder(t, []string{withoutBase}, map[string]string{"image": "nobody.local:5000/a/b"})).Wait()
		checkOutputs(t, got, 3, map[string]string{"built": "0"})
		if strings.Contains(got.Log, "making builder") {
			t.Error("a builder was made for a run that ended before its builds")
		}
	})
	t.Run("a failed build", func(t *testing.T) {
		t.Parallel()
		got := start(t, ownBuilder(t, []string{withoutBase}, nil)).Wait()
		checkOutputs(t, got, 1, map[string]string{"failed": "1"})
		nothingLeft(t, builderOf(t, got.Log))
	})
	t.Run("a configuration that BuildKit refuses", func(t *testing.T) {
		t.Parallel()
		got := start(t, ownBuilder(t, []string{withoutBase}, map[string]string{"buildkitd-config-inline": "debug = [\n"})).Wait()
		checkOutputs(t, got, 3, nil)
		if !strings.Contains(got.Log, "hint: check buildkitd-config-inline") {
			t.Error("the log does not say what to check")
		}
		nothingLeft(t, builderOf(t, got.Log))
	})
	t.Run("a cancel in the middle of a build", func(t *testing.T) {
		run := start(t, ownBuilder(t, instances(t, 1), nil))
		waitForBuild(t, run)
		ended := deathOf(t, run.Container)
		begin := time.Now()
		run.Cancel()
		got := run.Wait()
		if death := <-ended; death.at.Sub(begin) > 8*time.Second || death.exitCode != "130" {
			t.Errorf("the action ended %s after the signal with %s, want at most 8 s and 130", death.at.Sub(begin), death.exitCode)
		}
		if got.Outputs["total"] != "1" || !strings.Contains(got.Summary, "ancelled") {
			t.Errorf("outputs %v and summary do not tell of the cancel:\n%s", got.Outputs, got.Summary)
		}
		if _, err := run.Post(t.Context()); err != nil {
			t.Error(err)
		}
		nothingLeft(t, builderOf(t, got.Log))
	})
}

// TestPostStep kills two of three runs in the middle of a build. The post step removes what each has left, and nothing of
// another.
func TestPostStep(t *testing.T) {
	// The fake runner gives all its runs one run id, job and step: only the containers tell them apart.
	goesOn := start(t, ownBuilder(t, instances(t, 12), native)) // more than it gets to
	first, second := start(t, ownBuilder(t, instances(t, 1), nil)), start(t, ownBuilder(t, instances(t, 1), nil))
	t.Cleanup(func() {
		goesOn.Cancel()
		goesOn.Post(context.WithoutCancel(t.Context()))
		if left := parts(t, builderOf(t, goesOn.Wait().Log)); left != "" {
			t.Errorf("of the builder of the run that went on is left: %s", left)
		}
	})
	firstName, secondName := killInBuild(t, first), killInBuild(t, second)
	alive := "buildx_buildkit_" + waitForBuild(t, goesOn) + "0"

	if got := post(t, first.Post); !strings.Contains(got.Summary, "killed before it could report") {
		t.Errorf("the post step does not report for the run:\n%s", got.Summary)
	}
	nothingLeft(t, firstName)
	if parts(t, secondName) == "" {
		t.Error("the other run's builder was removed too")
	}
	post(t, second.PostWithoutState)
	nothingLeft(t, secondName)
	if docker(t, "inspect", "--format", "{{.State.Running}}", alive) != "true" {
		t.Error("the builder of a run that goes on was removed")
	}
}

// killInBuild kills a run in the middle of its first build and returns the name of its builder, which is left.
func killInBuild(t *testing.T, run *runner.Run) string {
	t.Helper()
	waitForBuild(t, run)
	docker(t, "kill", "--signal", "KILL", run.Container)
	name := builderOf(t, run.Wait().Log)
	t.Cleanup(func() {
		command("docker", "rm", "--force", "buildx_buildkit_"+name+"0")
		command("docker", "volume", "rm", "--force", "buildx_buildkit_"+name+"0_state")
	})
	if left := parts(t, name); !strings.Contains(left, "_state") {
		t.Fatalf("of builder %s is left %q; want its container and its volume, or this tests nothing", name, left)
	}
	return name
}

func post(t *testing.T, step func(context.Context) (runner.Result, error)) runner.Result {
	t.Helper()
	got, err := step(t.Context())
	if err != nil || got.ExitCode != 0 {
		t.Errorf("the post step: %v, exit code %d", err, got.ExitCode)
	}
	return got
}
