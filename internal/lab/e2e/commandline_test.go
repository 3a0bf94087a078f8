package e2e

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// TestLoad loads an image into the engine, and names a registry that does not exist. The second run finds the image there.
func TestLoad(t *testing.T) {
	t.Parallel()
	id, repo := instances(t, 1)[0], "registry.invalid/"+repository(t)
	for i, want := range []string{"built", "skipped_remote_exists"} {
		s := step(t, "", []string{id}, smallest)
		s.Inputs["image"], s.Inputs["load"] = repo, "true"
		got := startCommandLine(t, s, "--volume", "/var/run/docker.sock:/var/run/docker.sock").wait(t)
		checkOutputs(t, got, 0, nil)
		made := ledger(t, s.Workspace, got)[id]
		if made.Status != want || len(made.Tags) == 0 {
			t.Fatalf("run %d: the ledger says %+v, want %s", i+1, made, want)
		}
		if i == 0 {
			t.Cleanup(func() { command("docker", append([]string{"rmi", "--force"}, made.Tags...)...) })
		}
		for _, tag := range made.Tags {
			if !strings.HasPrefix(tag, repo+":") || docker(t, "image", "inspect", "--format", "{{.Architecture}}", tag) != "amd64" {
				t.Errorf("the engine has %s for another machine, or the tag is not the image's", tag)
			}
		}
	}
}

// commandLine is a run of eval-images outside of a workflow.
type commandLine struct {
	cmd       *exec.Cmd
	said      bytes.Buffer
	workspace string
}

// startCommandLine runs eval-images in a container of the lab's engine, because the host may lack uv and buildx. engine are the flags of
// docker run that lead to the engine it uses.
func startCommandLine(t *testing.T, s runner.Step, engine ...string) *commandLine {
	t.Helper()
	args := append([]string{
		"run", "--rm", "--network", s.Network, "--volume", s.Workspace + ":/work", "--workdir", "/work", "--volume", runner.PackagesMount(s.Packages),
	}, engine...)
	for _, environ := range []map[string]string{s.Env, runner.UsePackages} {
		for name, value := range environ {
			args = append(args, "--env", name+"="+value)
		}
	}
	args = append(args, s.Image)
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		args = append(args, "--"+name+"="+s.Inputs[name])
	}
	c := &commandLine{cmd: exec.CommandContext(t.Context(), "docker", args...), workspace: s.Workspace}
	c.cmd.Stdout = io.MultiWriter(&c.said, t.Output())
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wait returns what the run has left, as a step of a workflow would.
func (c *commandLine) wait(t *testing.T) runner.Result {
	t.Helper()
	err := c.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	got := runner.Result{ExitCode: c.cmd.ProcessState.ExitCode(), Log: c.said.String(), Outputs: map[string]string{}}
	for _, path := range filesNamed(t, c.workspace, "manifest.jsonl") {
		got.Outputs["manifest"], _ = filepath.Rel(c.workspace, path)
	}
	return got
}
