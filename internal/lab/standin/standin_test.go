package standin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/google/go-cmp/cmp"
)

// checkout is the repository, seen from this folder.
const checkout = "../../.."

func TestSources(t *testing.T) {
	const dockerfile = `# FROM comment:1
FROM golang:1.2-trixie AS build
COPY --from=ghcr.io/astral-sh/uv:0.1 /uv /uv
COPY . .
RUN echo FROM x
FROM --platform=linux/amd64 debian:13 AS root
COPY --from=build /a /b
COPY --chown=1 --from=late:2 /a /b
FROM root
FROM scratch
FROM debian:13
`
	want := []string{"golang:1.2-trixie", "ghcr.io/astral-sh/uv:0.1", "debian:13", "late:2"}
	if diff := cmp.Diff(want, sources(dockerfile)); diff != "" {
		t.Error(diff)
	}
}

// TestEveryImageHasARecipe: where nothing can be pulled, each image needs a stand-in.
func TestEveryImageHasARecipe(t *testing.T) {
	images, err := named(checkout)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) < 3 {
		t.Errorf("the Dockerfiles name only %v", images)
	}
	images = append(images, mirrored...)
	for _, image := range append(images, Registry, BuildKit, buildxDefault) {
		recipe, known := recipeFor(image)
		if !known {
			t.Errorf("%s has no recipe", image)
			continue
		}
		if recipe.folder == "" {
			continue
		}
		if _, err := recipes.Open("recipes/" + recipe.folder + "/Dockerfile"); err != nil {
			t.Errorf("%s: %v", image, err)
		}
	}
	if _, known := recipeFor("alpine:3"); known {
		t.Error("alpine has a recipe")
	}
}

func TestRecipeKeyFollowsWhatItIsMadeFrom(t *testing.T) {
	dir := t.TempDir()
	tools := filepath.Join(dir, "internal", "lab", "tools")
	if err := os.MkdirAll(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	e := &engine.Engine{Checkout: dir}
	keys := func() map[string]string {
		t.Helper()
		found := map[string]string{}
		for _, image := range []string{Registry, "ghcr.io/astral-sh/uv:1", "ghcr.io/astral-sh/uv:2", "debian:13", "python:3"} {
			recipe, _ := recipeFor(image)
			key, err := recipe.key(e)
			if err != nil {
				t.Fatal(err)
			}
			found[image] = key
		}
		return found
	}
	before := keys()
	if before["ghcr.io/astral-sh/uv:1"] == before["ghcr.io/astral-sh/uv:2"] {
		t.Error("two versions of uv have one key")
	}
	if before["debian:13"] == before["python:3"] {
		t.Error("the root and what is built on it have one key")
	}
	if err := os.WriteFile(filepath.Join(tools, "go.mod"), []byte("module changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	after := keys()
	if before[Registry] == after[Registry] {
		t.Error("other tools leave the registry's key as it was")
	}
	if before["python:3"] != after["python:3"] {
		t.Error("other tools change the key of an image without any")
	}
}
