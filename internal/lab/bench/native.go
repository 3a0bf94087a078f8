package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// againstBefore builds the same images three times, each time at a new commit on the same warm builder: by the action,
// and by the SDK's own command line with and without a prebuilt sdist.
func (b *bench) againstBefore(ctx context.Context) (table, error) {
	t := table{header: []string{"Variant", "Whole run", "Builds", "Relative to the action"}}
	if err := b.warm(ctx); err != nil {
		return t, err
	}
	commit, err := b.sdk.Next(ctx)
	if err != nil {
		return t, err
	}
	started, err := b.step(commit, "action", b.Instances).Start(ctx)
	if err != nil {
		return t, err
	}
	begin := time.Now()
	c := watch(ctx, started)
	took, got := time.Since(begin), started.Wait()
	if err := checkBuilt(got, images); err != nil {
		return t, err
	}
	b.last = commit
	ended, err := summaryPhases(b.Workspace, got)
	if err != nil {
		return t, err
	}
	phases := byName(ended)
	t.row("the action", seconds(took), seconds(phases[buildPhase]), "1")
	t.note("Set-up of the action: checkout %s, environment %s, then import %s beside sdist %s, names %s.",
		seconds(phases["checkout"]), seconds(phases["environment"]), seconds(phases["import"]), seconds(phases["sdist"]), seconds(phases["resolve-tags"]))
	t.note("The orchestrator took %s of processor time, %.2f %% of the run, and %.0f MiB at its peak.",
		seconds(c.cpu), 100*c.cpu.Seconds()/took.Seconds(), float64(c.peakKB)/1024)
	for _, variant := range []struct {
		name  string
		sdist bool
	}{{"SDK's command line, xargs -P2, no prebuilt sdist", false}, {"the same, with one prebuilt sdist", true}} {
		if commit, err = b.sdk.Next(ctx); err != nil {
			return t, err
		}
		parts, before, err := b.runBefore(ctx, commit, fmt.Sprintf("before-%t", variant.sdist), variant.sdist)
		if err != nil {
			return t, err
		}
		t.row(variant.name, seconds(before), seconds(parts[len(parts)-1].took), ratio(before, took))
	}
	t.note("%d images, %d at once, on one warm builder. Each variant builds a commit of its own, which differs in a comment.", images, workers)
	return t, nil
}

// warm builds one image, so that builder and package cache are warm for the first variant, too.
func (b *bench) warm(ctx context.Context) error {
	commit, err := b.sdk.Next(ctx)
	if err != nil {
		return err
	}
	_, _, err = b.run(ctx, b.step(commit, "warm", b.Instances[:1]), 1)
	return err
}

// rerun runs again for the images that the action has just built.
func (b *bench) rerun(ctx context.Context) (table, error) {
	t := table{header: []string{"What", "Count"}}
	since := time.Now()
	started, err := b.step(b.last, "action", b.Instances).Start(ctx)
	if err != nil {
		return t, err
	}
	c := watch(ctx, started)
	took, got := time.Since(since), started.Wait()
	if got.ExitCode != 0 || got.Outputs["skipped"] != fmt.Sprint(images) {
		return t, fmt.Errorf("the rerun ended with %d, %s images skipped", got.ExitCode, got.Outputs["skipped"])
	}
	requests, err := b.countRequests(ctx, since, "action")
	if err != nil {
		return t, err
	}
	tags, err := lockedTags(b.Workspace, got)
	if err != nil {
		return t, err
	}
	t.row("images present", got.Outputs["skipped"])
	t.row("their SHA tags", fmt.Sprint(tags))
	t.row("HEAD requests for them", fmt.Sprint(requests["HEAD"]))
	for _, method := range []string{"GET", "POST", "PUT", "PATCH"} {
		t.row(method+" requests", fmt.Sprint(requests[method]))
	}
	t.row("processes with the SDK imported", fmt.Sprint(len(c.workers)))
	t.note("It took %s, by the registry's own access log and the container's process list.", seconds(took))
	return t, nil
}

// summaryPhases returns a run's phases from its build-summary.json, in the order in which they ended.
func summaryPhases(workspace string, got runner.Result) (phases []phase, err error) {
	var summary struct {
		Run struct {
			Phases []struct {
				Name    string
				Seconds float64
			}
		}
	}
	err = readJSON(workspace, got.Outputs["summary"], &summary)
	for _, p := range summary.Run.Phases {
		phases = append(phases, phase{p.Name, time.Duration(p.Seconds * float64(time.Second))})
	}
	return phases, err
}

// lockedTags counts the tags in a run's images.lock.json.
func lockedTags(workspace string, got runner.Result) (n int, err error) {
	var lock struct {
		Images map[string]struct{ Tags []string }
	}
	err = readJSON(workspace, got.Outputs["lock-file"], &lock)
	for _, image := range lock.Images {
		n += len(image.Tags)
	}
	return n, err
}

// runBefore runs the SDK's own command line once for each image, with or without a prebuilt sdist.
func (b *bench) runBefore(ctx context.Context, commit, repository string, sdistOnce bool) ([]phase, time.Duration, error) {
	env := map[string]string{"REF": commit, "SDIST": "each", "WORKERS": fmt.Sprint(workers), "IMAGE": b.image(repository)}
	if sdistOnce {
		env["SDIST"] = "once"
	}
	begin := time.Now()
	phases, err := b.script(ctx, "before.sh", b.list(), env, asFlags(b.Values["LAB_SDK_OPTIONS"])...)
	return phases, time.Since(begin), err
}

// list returns a line with base image and custom tag for each image.
func (b *bench) list() string {
	var lines strings.Builder
	for _, id := range b.Instances {
		repo, name, _ := strings.Cut(id, "__")
		base := strings.NewReplacer("{repo}", repo, "{name}", name, "{instance_id}", id, "{arch}", "x86_64").
			Replace(b.Values["LAB_BASE_IMAGE_TEMPLATE"])
		fmt.Fprintf(&lines, "%s sweb.eval.x86_64.%s_1776_%s\n", base, repo, name)
	}
	return lines.String()
}

// asFlags turns name=value of a BuildOptions field into a flag of the SDK's command line.
func asFlags(option string) []string {
	name, value, ok := strings.Cut(option, "=")
	if !ok {
		return nil
	}
	return []string{"--" + strings.ReplaceAll(name, "_", "-") + "=" + value}
}
