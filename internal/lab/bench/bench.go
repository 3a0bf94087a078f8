// Package bench measures the main job on the lab: against what people ran before it, and for what it costs. Its figures
// are ratios from one run on one machine; absolute ones change by half from run to run.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// The size of a measured run: enough images for the set-up to be shared, and workers for two cores.
const (
	images  = 12
	workers = 2
)

// Lab is where a bench runs, and what of it.
type Lab struct {
	// Values are the lab's own variables, as `go run -C internal/lab . env` prints them.
	Values map[string]string
	// ActionFile is the path of action.yml.
	ActionFile string
	// Workspace is an empty folder; all runs share it, and the cache of Python packages that is in it.
	Workspace string
	// Instances are the ids to build.
	Instances []string
	// Part is what to measure: native, rebase, or empty for both.
	Part string
	// Log gets what the runs print.
	Log io.Writer
}

// bench is a Lab with what the measurements share.
type bench struct {
	Lab
	start time.Time // makes the names of this bench's images its own
	sdk   commits
	cache map[string]bool // the builder's, before this bench
	last  string          // the commit at which the action has built all images

	rebasing rebasing
}

// Run measures everything, and prints a table of each to out.
func Run(ctx context.Context, lab Lab, out io.Writer) (err error) {
	if len(lab.Instances) < images {
		return fmt.Errorf("benching %d images: the lab has %d instances", images, len(lab.Instances))
	}
	lab.Instances = lab.Instances[:images]
	b := &bench{Lab: lab, start: time.Now(), sdk: commits{folder: filepath.Join(lab.Workspace, "sdk.git"), ref: lab.Values["LAB_SDK_REF"]}}
	if err := b.sdk.clone(ctx, lab.Values["LAB_SDK_REPOSITORY"]); err != nil {
		return err
	}
	if b.cache, err = b.cached(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.clean(context.WithoutCancel(ctx))) }()
	for _, part := range []struct {
		of, title string
		measure   func(context.Context) (table, error)
	}{
		{"native", "Main job against the SDK's own command line", b.againstBefore},
		{"native", "A rerun with every image present", b.rerun},
		{"native", "The orchestrator with 500 targets", b.manyTargets},
		{"native", "Workers, spawned and forked", b.workers},
		{"rebase", "Rebase against building each image", b.againstBuilding},
		{"rebase", "From start to last image at a new commit", b.newCommit},
		{"rebase", "All images at a registry with the limits of ghcr.io", b.limitedWrites},
		{"rebase", "A rerun with all images present", b.rerunAll},
	} {
		if lab.Part != "" && lab.Part != part.of {
			continue
		}
		fmt.Fprintf(out, "==> bench: %s\n", part.title)
		begin := time.Now()
		t, err := part.measure(ctx)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", strings.ToLower(part.title), err)
		}
		fmt.Fprintf(out, "\n### %s\n\n%s\n==> bench: took %.0f s\n", part.title, t, time.Since(begin).Seconds())
	}
	return nil
}

// step is the main job at one commit of the SDK, into a repository of its own.
func (b *bench) step(commit, repository string, ids []string) runner.Step {
	return runner.Step{
		Image: b.Values["LAB_ACTION_IMAGE"], Network: b.Values["LAB_NETWORK"], ActionFile: b.ActionFile,
		Workspace: b.Workspace, Log: b.Log,
		Inputs: map[string]string{
			"sdk-repository":      sdkInside,
			"sdk-ref":             commit,
			"strategy":            "native",
			"sdk-options":         b.Values["LAB_SDK_OPTIONS"],
			"instance-ids":        strings.Join(ids, "\n"),
			"image":               b.image(repository),
			"base-image-template": b.Values["LAB_BASE_IMAGE_TEMPLATE"],
			"builder":             b.Values["LAB_BUILDER"],
			"max-workers":         fmt.Sprint(workers),
		},
		Env: environment(),
	}
}

// environment says what a run finds: no hub, and, as on a machine that has built before, the SDK's Python packages.
func environment() map[string]string {
	env := maps.Clone(runner.NoHub)
	env["UV_CACHE_DIR"] = packagesInside
	return env
}

// Where the workspace's folders are for what runs in containers.
const (
	workspaceInside = "/github/workspace"
	sdkInside       = "file://" + workspaceInside + "/sdk.git"
	packagesInside  = workspaceInside + "/uv-cache"
)

// image is a repository that no earlier bench has pushed to.
func (b *bench) image(repository string) string {
	return b.Values["LAB_REGISTRY_INSIDE"] + "/" + b.path(repository)
}

// path is such a repository without the registry.
func (b *bench) path(repository string) string {
	return fmt.Sprintf("bench-%d/%s", b.start.Unix(), repository)
}

// run runs a step to its end, and wants every image built.
func (b *bench) run(ctx context.Context, s runner.Step, wantBuilt int) (runner.Result, time.Duration, error) {
	begin := time.Now()
	started, err := s.Start(ctx)
	if err != nil {
		return runner.Result{}, 0, err
	}
	got := started.Wait()
	took := time.Since(begin)
	return got, took, checkBuilt(got, wantBuilt)
}

// checkBuilt keeps a run that did something else than it should out of the table.
func checkBuilt(got runner.Result, want int) error {
	if got.ExitCode != 0 || got.Outputs["built"] != fmt.Sprint(want) {
		return fmt.Errorf("the run ended with %d after building %s images, want %d", got.ExitCode, got.Outputs["built"], want)
	}
	return nil
}

// write puts a program into the workspace.
func (b *bench) write(name, content string) error {
	if err := os.WriteFile(filepath.Join(b.Workspace, name), []byte(content), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
