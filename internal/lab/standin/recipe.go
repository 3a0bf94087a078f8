package standin

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

//go:embed recipes
var recipes embed.FS

// rootImage is the name of the Debian root in the recipes.
const rootImage = "eval-images-lab/trixie"

// uvLatest is the version of uv for SDK releases that ask for `latest`.
const uvLatest = "0.13.9"

// recipe says how to make a stand-in.
type recipe struct {
	folder string   // below recipes; empty for the Debian root itself
	tools  []string // programs that its Dockerfile copies
	goroot bool     // its Dockerfile copies this machine's Go
	args   []string // build arguments, NAME=value
}

// recipeFor returns the recipe of an official image.
func recipeFor(name string) (recipe, bool) {
	repository, tag, _ := strings.Cut(name, ":")
	switch repository {
	case "debian":
		return recipe{}, true
	case "python":
		return recipe{folder: "python"}, true
	case "golang":
		version, _, _ := strings.Cut(tag, "-")
		return recipe{folder: "golang", goroot: true, args: []string{"VERSION=go" + version}}, true
	case "ghcr.io/astral-sh/uv":
		if tag == "latest" {
			tag = uvLatest
		}
		return recipe{folder: "uv", args: []string{"VERSION=" + tag}}, true
	case "moby/buildkit":
		return recipe{folder: "buildkit", tools: []string{"buildkitd", "buildctl"}}, true
	case "docker/dockerfile":
		return recipe{folder: "frontend", tools: []string{"dockerfile-frontend"}}, true
	case "registry":
		return recipe{folder: "registry", tools: []string{"registry"}}, true
	}
	return recipe{}, false
}

// key is a hash of the stand-in's inputs.
func (r recipe) key(e *engine.Engine) (string, error) {
	inputs := append([]string{rootKey()}, r.args...)
	if len(r.tools) > 0 {
		key, err := toolsKey(e)
		if err != nil {
			return "", err
		}
		inputs = append(inputs, key)
	}
	files, err := fs.Sub(recipes, filepath.Join("recipes", r.folder))
	if err != nil {
		return "", fmt.Errorf("reading a recipe: %w", err)
	}
	if r.folder == "" {
		return engine.Key(inputs...), nil
	}
	return engine.FilesKey(files, inputs...)
}

func (s *source) build(ctx context.Context, name string) error {
	recipe, known := recipeFor(name)
	if !known {
		return fmt.Errorf("it cannot be pulled, and has no stand-in\nhint: add a recipe to internal/lab/standin")
	}
	key, err := recipe.key(s.Engine)
	if err != nil {
		return err
	}
	s.prepare(ctx)
	if err := s.importRoot(ctx); err != nil {
		return err
	}
	if recipe.folder == "" {
		_, err := s.Output(ctx, "tag", rootImage, name)
		return err
	}
	dir, err := s.layOut(recipe)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []string{"--label", engine.Label + "=" + key}
	for _, arg := range recipe.args {
		options = append(options, "--build-arg", arg)
	}
	if recipe.goroot {
		return s.buildGo(ctx, name, dir, recipe.args[0], options)
	}
	return s.Build(ctx, io.Discard, dir, name, options...)
}

// importRoot makes an image from the Debian root.
func (s *source) importRoot(ctx context.Context) error {
	key, found, err := s.ImageKey(ctx, rootImage)
	if err != nil {
		return err
	}
	root, _ := recipeFor("debian")
	want, err := root.key(s.Engine)
	if err != nil || found && key == want {
		return err
	}
	archive, err := s.root.wait()
	if err != nil {
		return err
	}
	_, err = s.Output(ctx, "import",
		"--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"--change", "ENV SSL_CERT_FILE="+bundle+" PIP_CERT="+bundle,
		"--change", "LABEL "+engine.Label+"="+want,
		"--change", `CMD ["bash"]`,
		archive, rootImage)
	return err
}

// layOut makes a folder with the recipe's files and programs.
func (s *source) layOut(r recipe) (string, error) {
	files, err := fs.Sub(recipes, filepath.Join("recipes", r.folder))
	if err != nil {
		return "", fmt.Errorf("reading a recipe: %w", err)
	}
	dir, err := os.MkdirTemp(s.Cache, "recipe-")
	if err != nil {
		return "", fmt.Errorf("making a recipe's folder: %w", err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		return dir, fmt.Errorf("laying out a recipe: %w", err)
	}
	for _, tool := range r.tools {
		compiled, err := s.tools.wait()
		if err != nil {
			return dir, err
		}
		if err := os.Link(filepath.Join(compiled, tool), filepath.Join(dir, tool)); err != nil {
			return dir, fmt.Errorf("laying out a recipe: %w", err)
		}
	}
	return dir, nil
}

// buildGo makes golang:X from this machine's Go, whose version must be X.
func (s *source) buildGo(ctx context.Context, name, dir, version string, options []string) error {
	env := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOROOT", "GOPROXY")
	env.Dir = s.Checkout
	said, err := engine.Run(env, nil)
	if err != nil {
		return fmt.Errorf("finding this machine's Go: %w", err)
	}
	values := strings.Split(said, "\n")
	if len(values) != 3 || "VERSION="+values[0] != version {
		return fmt.Errorf("this checkout's Go is %s\nhint: a golang image's tag in a Dockerfile is the version in go.mod", values[0])
	}
	options = append(options, "--file", filepath.Join(dir, "Dockerfile"), "--build-arg", "GOPROXY="+values[2])
	return s.Build(ctx, io.Discard, values[1], name, options...)
}
