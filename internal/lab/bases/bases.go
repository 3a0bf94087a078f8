// Package bases makes the lab's base images: for each of a few real instance ids an image in the shape of SWE-bench's,
// behind the mirror of docker.io as docker.io/swebench/sweb.eval.x86_64.<repo>_1776_<name>:latest.
package bases

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

//go:embed instances.txt
var list string

// Ordinary is the number of instances with ordinary base images; they come first. Those of sphinx-doc, with pip in
// their environment, follow.
const Ordinary = 12

// Part makes the base images and pushes them.
var Part = engine.Part{Name: "base images", Up: up, Env: env}

// Instances returns the ids that have a base image in the lab.
func Instances() []string { return strings.Fields(list) }

// Repository returns the repository of an instance's base image in the lab's registry, below the mirror of docker.io.
func Repository(instance string) string {
	return "hub/swebench/sweb.eval.x86_64." + strings.ReplaceAll(instance, "__", "_1776_")
}

func env(e *engine.Engine) (map[string]string, error) {
	return map[string]string{
		"LAB_INSTANCES": instancesFile(e),
		// The address of the registry itself: only BuildKit knows the mirrors, and the action reads the base images'
		// digests too.
		"LAB_BASE_IMAGE_TEMPLATE": engine.RegistryInside + "/" + Repository("{repo}__{name}") + ":latest",
	}, nil
}

func instancesFile(e *engine.Engine) string { return filepath.Join(e.Cache, "instances.txt") }

func up(ctx context.Context, e *engine.Engine, log io.Writer) error {
	if err := os.WriteFile(instancesFile(e), []byte(list), 0o644); err != nil {
		return fmt.Errorf("writing the lab's instances: %w", err)
	}
	sources := e.Lab("bases", "image")
	key, err := engine.FilesKey(os.DirFS(sources))
	if err != nil {
		return err
	}
	for _, instance := range Instances() {
		there, err := isUpToDate(ctx, instance, key)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := makeBase(ctx, e, log, sources, instance, key); err != nil {
			return fmt.Errorf("making the base image of %s: %w", instance, err)
		}
	}
	return nil
}

// isUpToDate reports whether the registry has the instance's image as this recipe makes it. The tag with the recipe's key
// must be on the same image as latest, because tests replace and remove base images.
func isUpToDate(ctx context.Context, instance, key string) (bool, error) {
	latest, err := tag(instance, "latest")
	if err != nil {
		return false, err
	}
	made, err := tag(instance, key)
	if err != nil {
		return false, err
	}
	now, err := remote.Head(latest, remote.WithContext(ctx))
	if err != nil {
		return false, ctx.Err() // missing, or no registry: then the push says so
	}
	then, err := remote.Head(made, remote.WithContext(ctx))
	return err == nil && now.Digest == then.Digest, ctx.Err()
}

func makeBase(ctx context.Context, e *engine.Engine, log io.Writer, sources, instance, key string) error {
	image := "eval-images-lab/base:" + instance
	repository, _, _ := strings.Cut(instance, "__")
	if err := e.Build(ctx, log, sources, image,
		"--build-arg", "REPOSITORY="+repository, "--build-arg", "INSTANCE="+instance); err != nil {
		return err
	}
	// Push the tag with the key last, so that an interrupted push is repeated.
	for _, version := range []string{"latest", key} {
		if err := e.Push(ctx, log, image, Repository(instance)+":"+version); err != nil {
			return err
		}
	}
	return nil
}

func tag(instance, version string) (name.Tag, error) {
	return name.NewTag(engine.Registry + "/" + Repository(instance) + ":" + version)
}
