package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// fakeDocker replaces the docker command. It builds nothing and takes a second, so that any machine can run 500 builds.
const fakeDocker = `#!/bin/sh
case "$*" in
*inspect*) echo "Name: lab"; echo "Driver: docker-container"; echo "BuildKit version: v0"; echo "Status: running";;
*" build "*) sleep 1;;
esac
`

// manyTargets measures the orchestrator alone with the whole benchmark. The fake docker command "builds" all 500
// images; the run then finds each tag in the registry, where one small image was put under all of them before.
func (b *bench) manyTargets(ctx context.Context) (table, error) {
	t := table{header: []string{"Images", "Workers", "Peak memory of the orchestrator", "Its processor time", "Of the run"}}
	commit, err := b.sdk.Next(ctx)
	if err != nil {
		return t, err
	}
	image, err := b.stubbed(ctx)
	if err != nil {
		return t, err
	}
	step := b.step(commit, "many", nil)
	step.Image = image
	step.Inputs["force-build"], step.Inputs["max-workers"], step.Inputs["max-retries"] = "true", "8", "0"
	total, err := b.tagAll(ctx, step.Inputs)
	if err != nil {
		return t, err
	}
	started, err := step.Start(ctx)
	if err != nil {
		return t, err
	}
	begin := time.Now()
	c := watch(ctx, started)
	took, got := time.Since(begin), started.Wait()
	if err := checkBuilt(got, total); err != nil {
		return t, err
	}
	t.row(fmt.Sprint(total), "8", mebibytes(c.peakKB), seconds(c.cpu), fmt.Sprintf("%.2f %% of %s", 100*c.cpu.Seconds()/took.Seconds(), seconds(took)))
	t.note("Each build takes a second here; a real one takes about a minute, so that the share of the processor is that much smaller.")
	return t, nil
}

// stubbed returns the action's image with the fake docker command.
func (b *bench) stubbed(ctx context.Context) (string, error) {
	if err := b.write("fake-docker", fakeDocker); err != nil {
		return "", err
	}
	return b.actionWith(ctx, stubbedImage, "COPY fake-docker /usr/bin/docker\n")
}

// actionWith builds an image from the action's image with more instructions.
func (b *bench) actionWith(ctx context.Context, image, instructions string) (string, error) {
	if err := b.write("Dockerfile", "FROM "+b.Values["LAB_ACTION_IMAGE"]+"\n"+instructions); err != nil {
		return "", err
	}
	if err := b.write(".dockerignore", "*\n!fake-docker\n"); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "docker", "build", "--quiet", "--tag", image, b.Workspace)
	cmd.Env = append(cmd.Environ(), "DOCKER_BUILDKIT=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("adding to the action's image: %w: %s", err, out)
	}
	return image, nil
}

// tagAll puts one small image under every tag that the action's dry run lists.
func (b *bench) tagAll(ctx context.Context, inputs map[string]string) (total int, err error) {
	images, err := b.plan(ctx, inputs)
	if err != nil {
		return 0, err
	}
	var tags []string
	for _, image := range images {
		tags = append(tags, image.Tags...)
	}
	return len(images), b.push(ctx, tags)
}

// planned is an image in a dry run's plan.
type planned struct {
	BaseImage   string `json:"base_image"`
	Tags        []string
	EvalBase    string `json:"eval_base"`
	EvalBaseTag string `json:"eval_base_tag"`
}

// plan returns the images of a dry run, which needs no engine.
func (b *bench) plan(ctx context.Context, inputs map[string]string) ([]planned, error) {
	args := []string{
		"run", "--rm", "--network", b.Values["LAB_NETWORK"], "--volume", b.Workspace + ":" + workspaceInside,
		"--workdir", workspaceInside, "--entrypoint", "/eval-images",
	}
	for variable, value := range environment() {
		args = append(args, "--env", variable+"="+value)
	}
	// Most of the base images in the plan of 500 do not exist, and nothing is built on them.
	args = append(args, b.Values["LAB_ACTION_IMAGE"], "--dry-run", "--format=json", "--fail-on=never")
	for _, input := range []string{
		"sdk-repository", "sdk-ref", "sdk-options", "image", "base-image-template", "dataset",
		"custom-tag-template", "strategy",
	} {
		if value := inputs[input]; value != "" {
			args = append(args, "--"+input+"="+value)
		}
	}
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, b.Log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("planning: %w", err)
	}
	var plan struct{ Images []planned }
	if err := json.Unmarshal(out.Bytes(), &plan); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	return plan.Images, nil
}

// push puts one small image under all tags, through the registry's address on the host.
func (b *bench) push(ctx context.Context, tags []string) error {
	small, err := random.Image(1024, 1)
	if err != nil {
		return fmt.Errorf("making a small image: %w", err)
	}
	for i, tag := range tags {
		ref, err := name.NewTag(strings.Replace(tag, b.Values["LAB_REGISTRY_INSIDE"], b.Values["LAB_REGISTRY"], 1))
		if err != nil {
			return fmt.Errorf("parsing a tag of the plan: %w", err)
		}
		if i == 0 {
			err = remote.Write(ref, small, remote.WithContext(ctx))
		} else {
			err = remote.Tag(ref, small, remote.WithContext(ctx))
		}
		if err != nil {
			return fmt.Errorf("tagging %s: %w", ref, err)
		}
	}
	return nil
}

func mebibytes(kB int) string { return fmt.Sprintf("%.1f MiB", float64(kB)/1024) }
