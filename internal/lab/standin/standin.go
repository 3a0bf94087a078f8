// Package standin provides the images that the lab needs. Where the engine can pull, it uses the official images.
// Elsewhere it builds images that do the same under the same names, from Debian's, Go's and Python's packages.
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

// buildxDefault is the image of a docker-container builder if no other is named.
const buildxDefault = "moby/buildkit:buildx-stable-1"

// mirrored are the images that the SDK's Dockerfiles name: docker/dockerfile is their `# syntax`, and releases differ
// in the tag of uv. The oldest uv is for builds that pin one.
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

// Local provides the images of the lab's services and of this repository's Dockerfiles in the engine.
var Local = engine.Part{Name: "images", Up: func(ctx context.Context, e *engine.Engine, log io.Writer) error {
	names := []string{Registry, BuildKit, buildxDefault}
	named, err := named(e.Checkout)
	if err != nil {
		return err
	}
	return newSource(e, log).provide(ctx, append(names, named...))
}}

// Mirrors pushes the images that the SDK's Dockerfiles name to the lab's registry, under the names of a mirror of
// Docker Hub or ghcr.io.
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

// named returns the images in this repository's Dockerfiles, which are the only place for their tags.
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

// sources returns the images that a Dockerfile names in FROM and COPY --from, without its own stages.
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

// sourceOf returns the image or stage that an instruction names, and the stage that it begins.
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
