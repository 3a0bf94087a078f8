package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// demoImages is enough to keep 2 workers busy, and few enough to wait for.
const demoImages = 6

// demo runs the main job as a runner would, in a workspace that is kept, and shows what a user sees.
func demo(ctx context.Context, e *engine.Engine, out io.Writer) error {
	lab, err := variables(e, parts)
	if err != nil {
		return err
	}
	ids, err := firstLines(lab["LAB_INSTANCES"], demoImages)
	if err != nil {
		return err
	}
	workspace := filepath.Join(e.Cache, "demo")
	if err := os.MkdirAll(workspace, 0o755); err != nil {
		return fmt.Errorf("making the demo's workspace: %w", err)
	}
	step := runner.Step{
		Image: lab["LAB_ACTION_IMAGE"], Network: lab["LAB_NETWORK"], ActionFile: filepath.Join(e.Checkout, "action.yml"),
		Workspace: workspace, Log: out, Env: runner.NoHub,
		Inputs: map[string]string{
			"sdk-repository":      lab["LAB_SDK_REPOSITORY_INSIDE"],
			"sdk-ref":             lab["LAB_SDK_REF"],
			"sdk-options":         lab["LAB_SDK_OPTIONS"],
			"instance-ids":        strings.Join(ids, "\n"),
			"image":               lab["LAB_REGISTRY_INSIDE"] + "/demo/eval-agent-server",
			"base-image-template": lab["LAB_BASE_IMAGE_TEMPLATE"],
			"builder":             lab["LAB_BUILDER"],
			"max-workers":         "2",
		},
	}
	run, err := step.Start(ctx)
	if err != nil {
		return err
	}
	return show(out, workspace, run.Wait())
}

// show prints the summary and the outputs, and where the files are.
func show(out io.Writer, workspace string, got runner.Result) error {
	fmt.Fprintf(out, "\n==> step summary\n\n%s\n==> outputs\n\n", got.Summary)
	for _, name := range []string{"total", "built", "skipped", "failed", "images-per-hour", "sdist-seconds", "sdk-sha"} {
		fmt.Fprintf(out, "%s=%s\n", name, got.Outputs[name])
	}
	fmt.Fprintf(out, "\n==> files\n\nledger   %s\nlogs     %s\nimages   http://%s/v2/demo/eval-agent-server/tags/list\n",
		filepath.Join(workspace, got.Outputs["manifest"]),
		filepath.Join(workspace, filepath.Dir(got.Outputs["manifest"]), "logs"), engine.Registry)
	if got.ExitCode != 0 {
		return fmt.Errorf("the action ended with exit code %d: %s", got.ExitCode, got.Conclusion)
	}
	return nil
}

func firstLines(path string, n int) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the lab's instances: %w", err)
	}
	defer file.Close()
	var lines []string
	for s := bufio.NewScanner(file); len(lines) < n && s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines, nil
}
