package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/OpenHands/eval-images/internal/lab/bases"
	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// datasetFile is the dataset of the rebases, in the workspace: made-up instances, so that there are enough.
const datasetFile = "instances.jsonl"

// name makes the name of a container or volume of this soak.
func (s *soak) name(part string) string {
	return fmt.Sprintf("eval-images-lab-soak-%d-%s", s.start.Unix(), part)
}

// path is a repository to which no earlier soak has pushed.
func (s *soak) path(repository string) string {
	return fmt.Sprintf("soak-%d/%s", s.start.Unix(), repository)
}

// step is a run at a commit whose images go through the faulty registry.
func (s *soak) step(commit, repository string) runner.Step {
	return runner.Step{
		Image: s.Values["LAB_ACTION_IMAGE"], Network: s.Values["LAB_NETWORK"], ActionFile: s.ActionFile,
		Workspace: s.Workspace, Packages: s.Values["LAB_PACKAGES"], Env: runner.NoHub, Log: s.Log,
		Inputs: map[string]string{
			"sdk-repository": "file:///github/workspace/sdk.git",
			"sdk-ref":        commit,
			"sdk-options":    s.Values["LAB_SDK_OPTIONS"],
			"image":          s.registry.address + "/" + s.path(repository),
			"builder":        s.builder,
			"max-workers":    "2",
			// The builder's cache must not fill the disk of the machine.
			"batch-size": "1", "prune-threshold-percent": "1", "keep-storage-gb": "4",
		},
	}
}

// rebaseStep rebases all made-up instances under a tag.
func (s *soak) rebaseStep(tag string) runner.Step {
	step := s.step(s.commit, "rebase")
	step.Inputs["strategy"], step.Inputs["verify"] = "rebase", "0"
	step.Inputs["dataset"] = datasetFile
	step.Inputs["base-image-template"] = s.Values["LAB_REGISTRY_INSIDE"] + "/" + s.path("bases") + ":{instance_id}"
	step.Inputs["custom-tag-template"] = tag + "-{instance_id}"
	return step
}

// nativeStep builds a few of the lab's instances.
func (s *soak) nativeStep(commit, repository string) runner.Step {
	step := s.step(commit, repository)
	step.Inputs["strategy"] = "native"
	step.Inputs["instance-ids"] = strings.Join(s.Instances[:natives], " ")
	step.Inputs["base-image-template"] = s.Values["LAB_BASE_IMAGE_TEMPLATE"]
	return step
}

// tag names an image by the registry's address on the host, past the faults.
func (s *soak) tag(reference string) (name.Tag, error) {
	tag, err := name.NewTag(s.Values["LAB_REGISTRY"] + "/" + reference)
	if err != nil {
		return tag, fmt.Errorf("naming an image: %w", err)
	}
	return tag, nil
}

// pushLabelled pushes to each name in to one of the images in from, each with another label.
func (s *soak) pushLabelled(ctx context.Context, from, to []string) error {
	tags := func(references []string) (found []name.Tag, err error) {
		for _, reference := range references {
			tag, err := s.tag(reference)
			if err != nil {
				return nil, err
			}
			found = append(found, tag)
		}
		return found, nil
	}
	sources, err := tags(from)
	if err != nil {
		return err
	}
	targets, err := tags(to)
	if err != nil {
		return err
	}
	return bases.PushLabelled(ctx, sources, targets, nil)
}

// tags lists the tags of a repository; one that nothing was pushed to has none.
func (s *soak) tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := name.NewRepository(s.Values["LAB_REGISTRY"] + "/" + s.path(repository))
	if err != nil {
		return nil, fmt.Errorf("naming a repository: %w", err)
	}
	tags, err := remote.List(repo, remote.WithContext(ctx))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == 404 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", repo, err)
	}
	return tags, nil
}

// digests returns the digest of each made-up instance's image under a tag. An image whose tags are on different digests, or
// that lacks one of its two tags, has none.
func (s *soak) digests(ctx context.Context, repository, tag string) (map[string]string, error) {
	tags, err := s.tags(ctx, repository)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, full := range tags {
		_, rest, ok := strings.Cut(full, "-"+tag+"-")
		if !ok {
			continue
		}
		ref, err := s.tag(s.path(repository) + ":" + full)
		if err != nil {
			return nil, err
		}
		head, err := remote.Head(ref, remote.WithContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("asking for %s: %w", ref, err)
		}
		id := strings.TrimSuffix(rest, "-source-minimal")
		found[id] = append(found[id], head.Digest.String())
	}
	digests := map[string]string{}
	for id, of := range found {
		if len(of) == 2 && of[0] == of[1] {
			digests[id] = of[0]
		}
	}
	return digests, nil
}

// notWhole reads the images of instances to their ends, and returns those that are missing or broken.
func (s *soak) notWhole(ctx context.Context, repository string, instances []string) (lost []string, err error) {
	tags, err := s.tags(ctx, repository)
	if err != nil {
		return nil, err
	}
	read := map[v1.Hash]bool{}
	for _, instance := range instances {
		part := "sweb.eval.x86_64." + strings.ReplaceAll(instance, "__", "_1776_") + "-"
		n := 0
		for _, tag := range tags {
			if !strings.Contains(tag, part) {
				continue
			}
			n++
			if err := s.readImage(ctx, s.path(repository)+":"+tag, read); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				lost = append(lost, fmt.Sprintf("%s of %s (%v)", tag, repository, err))
			}
		}
		if n != 2 {
			lost = append(lost, fmt.Sprintf("%s of %s (%d tags)", instance, repository, n))
		}
	}
	return lost, nil
}

// readImage reads all blobs of an image that were not read before. The client checks sizes and digests.
func (s *soak) readImage(ctx context.Context, reference string, read map[v1.Hash]bool) error {
	tag, err := s.tag(reference)
	if err != nil {
		return err
	}
	image, err := remote.Image(tag, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	if _, err := image.ConfigFile(); err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil || read[digest] {
			continue
		}
		content, err := layer.Compressed()
		if err == nil {
			_, err = io.Copy(io.Discard, content)
			content.Close()
		}
		if err != nil {
			return err
		}
		read[digest] = true
	}
	return nil
}

// container is the name of a builder's container.
func container(builder string) string { return "buildx_buildkit_" + builder + "0" }

// startBuilder starts a BuildKit of the soak's own, which a run can adopt by its name. Options are those of docker run.
func (s *soak) startBuilder(ctx context.Context, part string, options ...string) (builder string, err error) {
	toml, err := os.ReadFile(filepath.Join(filepath.Dir(s.ActionFile), "internal", "lab", "services", "buildkitd.toml"))
	if err != nil {
		return "", fmt.Errorf("reading the builder's configuration: %w", err)
	}
	config := filepath.Join(s.Workspace, "buildkitd.toml")
	plain := fmt.Sprintf("%s\n[registry.%q]\n  http = true\n", toml, s.registry.address)
	if err := os.WriteFile(config, []byte(plain), 0o644); err != nil {
		return "", fmt.Errorf("writing the builder's configuration: %w", err)
	}
	builder = s.name(part)
	args := []string{
		"run", "--detach", "--privileged", "--name", container(builder), "--network", s.Values["LAB_NETWORK"],
		"--volume", config + ":/etc/buildkit/buildkitd.toml:ro",
	}
	if len(options) == 0 {
		args = append(args, "--volume", container(builder)+"_state:/var/lib/buildkit")
	}
	args = append(append(args, options...), "moby/buildkit:buildx-stable-1")
	if _, err := docker(ctx, args...); err != nil {
		return "", err
	}
	return builder, s.awaitBuilder(ctx, builder)
}

func (s *soak) awaitBuilder(ctx context.Context, builder string) (err error) {
	for range 60 {
		if _, err = docker(ctx, "exec", container(builder), "buildctl", "debug", "workers"); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return fmt.Errorf("waiting for builder %s: %w", builder, err)
}

// restartBuilder starts the kept builder again, unless a run has done it.
func (s *soak) restartBuilder(ctx context.Context) error {
	if _, err := docker(ctx, "start", container(s.builder)); err != nil {
		return err
	}
	return s.awaitBuilder(ctx, s.builder)
}

func (s *soak) removeBuilder(ctx context.Context, builder string) error {
	if _, err := docker(ctx, "rm", "--force", "--volumes", container(builder)); err != nil {
		return err
	}
	_, err := docker(ctx, "volume", "rm", "--force", container(builder)+"_state")
	return err
}

// clean removes what the soak has added to the engine. Pushed images stay in the registry.
func (s *soak) clean(ctx context.Context) error {
	var errs []error
	for _, part := range []string{"kept", "small"} {
		errs = append(errs, s.removeBuilder(ctx, s.name(part)))
	}
	_, err := docker(ctx, "volume", "rm", "--force", s.name("record"))
	return errors.Join(append(errs, err)...)
}

// docker returns the standard output of a docker command.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("running docker %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
