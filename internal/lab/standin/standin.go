// Package standin provides the images that the lab's parts are made of. Where the engine can pull, they are the official
// ones. Where it cannot, it builds an image that does the same under the same name, from Debian's, Go's and Python's
// packages, so that what uses the name need not know.
package standin

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// The images of the lab's own services.
const (
	Registry = "registry:3.1.2"
	BuildKit = "moby/buildkit:v0.34.2"
)

// buildxDefault is the image of a docker-container builder when nobody names another.
const buildxDefault = "moby/buildkit:buildx-stable-1"

// mirrored are the images that the SDK's Dockerfiles name; docker/dockerfile is their `# syntax`, a uv tag differs by
// release. The oldest uv is there for builds that pin one.
var mirrored = []string{
	"docker/dockerfile:1",
	"docker/dockerfile:1.7",
	"ghcr.io/astral-sh/uv:0.11.6",
	"ghcr.io/astral-sh/uv:0.13.5",
	"ghcr.io/astral-sh/uv:latest",
	"python:3.12-bullseye",
	"python:3.13-bookworm",
	"python:3.13-bullseye",
}

// Local has the engine hold the images that the lab's services and this repository's Dockerfiles are made of.
var Local = engine.Part{Name: "images", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	names := []string{Registry, BuildKit, buildxDefault}
	named, err := named(e.Checkout)
	if err != nil {
		return err
	}
	return newSource(e, log).provide(ctx, append(names, named...))
}}

// Mirrors has the lab's registry hold the images that the SDK's Dockerfiles name, where a mirror of Docker Hub or
// ghcr.io has them.
var Mirrors = engine.Part{Name: "mirrors", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	if err := newSource(e, log).provide(ctx, mirrored); err != nil {
		return err
	}
	for _, image := range mirrored {
		to, err := engine.Mirrored(image)
		if err != nil {
			return err
		}
		if err := e.Push(ctx, log, image, to); err != nil {
			return err
		}
	}
	return nil
}}

// named gives the images that this repository's Dockerfiles start from or copy from: the one place for their tags.
func named(checkout string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(checkout, "internal", "lab", "*", "image", "Dockerfile"))
	if err != nil {
		return nil, fmt.Errorf("looking for Dockerfiles: %w", err)
	}
	var images []string
	for _, path := range append(paths, filepath.Join(checkout, "Dockerfile")) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a Dockerfile: %w", err)
		}
		images = append(images, sources(string(content))...)
	}
	slices.Sort(images)
	return slices.Compact(images), nil
}

// sources lists the images that a Dockerfile names in FROM and COPY --from, without its own stages.
func sources(dockerfile string) []string {
	stages := map[string]bool{"scratch": true}
	var found []string
	for line := range strings.Lines(dockerfile) {
		image, stage := sourceOf(strings.Fields(line))
		if image != "" && !stages[image] && !slices.Contains(found, image) {
			found = append(found, image)
		}
		stages[stage] = true
	}
	return found
}

// sourceOf reads one instruction: the image or stage that it names, and the stage that it begins.
func sourceOf(words []string) (image, stage string) {
	for i, word := range words {
		from, isFrom := strings.CutPrefix(word, "--from=")
		switch {
		case i == 0 && word != "FROM" && word != "COPY":
			return "", ""
		case words[0] == "COPY" && isFrom:
			return from, ""
		case i == 0 || strings.HasPrefix(word, "--"):
			continue
		case words[0] == "COPY":
			return "", ""
		case len(words) == i+3:
			return word, words[i+2] // FROM image AS stage
		default:
			return word, ""
		}
	}
	return "", ""
}
