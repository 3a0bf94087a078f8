// Package bench measures the main job on the lab: its cost, and its time compared with other ways to make the images.
// Only ratios within one run mean something; absolute figures change by half from run to run.
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
	"github.com/OpenHands/eval-images/internal/lab/sdkrepo"
)

// The size of a measured run. The images share the set-up, so there are several; two cores take two workers.
const (
	images  = 12
	workers = 2
)

// Lab is the input of a bench.
type Lab struct {
	// Values are the lab's variables, as `go run -C internal/lab . env` prints them.
	Values map[string]string
	// ActionFile is the path of action.yml.
	ActionFile string
	// Workspace is an empty folder for all runs and their cache of Python packages.
	Workspace string
	// Instances are the ids to build.
	Instances []string
	// Part is native or rebase, or empty for both.
	Part string
	// Log gets the output of the runs.
	Log io.Writer
}

// bench is the state that the measurements share.
type bench struct {
	Lab
	start time.Time // makes the names of this bench's images its own
	sdk   sdkrepo.Commits
	cache map[string]bool // the builder's, before this bench
	last  string          // the commit at which the action has built all images

	rebasing rebasing
}

// Run measures, and prints a table for each measurement to out.
func Run(ctx context.Context, lab Lab, out io.Writer) (err error) {
	if len(lab.Instances) < images {
		return fmt.Errorf("benching %d images: the lab has %d instances", images, len(lab.Instances))
	}
	lab.Instances = lab.Instances[:images]
	b := &bench{Lab: lab, start: time.Now(), sdk: sdkrepo.Commits{Folder: filepath.Join(lab.Workspace, "sdk.git"), Ref: lab.Values["LAB_SDK_REF"]}}
	if err := b.sdk.Clone(ctx, lab.Values["LAB_SDK_REPOSITORY"]); err != nil {
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

// environment returns the variables of a run: no hub, and a cache of Python packages as on a machine that has built
// before.
func environment() map[string]string {
	env := maps.Clone(runner.NoHub)
	env["UV_CACHE_DIR"] = packagesInside
	return env
}

// Paths of the workspace's folders in containers.
const (
	workspaceInside = "/github/workspace"
	sdkInside       = "file://" + workspaceInside + "/sdk.git"
	packagesInside  = workspaceInside + "/uv-cache"
)

// image returns a repository to which no earlier bench has pushed.
func (b *bench) image(repository string) string {
	return b.Values["LAB_REGISTRY_INSIDE"] + "/" + b.path(repository)
}

// path is image without the registry.
func (b *bench) path(repository string) string {
	return fmt.Sprintf("bench-%d/%s", b.start.Unix(), repository)
}

// run runs a step and checks that it built so many images.
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

// checkBuilt returns an error for a run that did not do what is measured.
func checkBuilt(got runner.Result, want int) error {
	if got.ExitCode != 0 || got.Outputs["built"] != fmt.Sprint(want) {
		return fmt.Errorf("the run ended with %d after building %s images, want %d", got.ExitCode, got.Outputs["built"], want)
	}
	return nil
}

// write writes an executable file into the workspace.
func (b *bench) write(name, content string) error {
	if err := os.WriteFile(filepath.Join(b.Workspace, name), []byte(content), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
