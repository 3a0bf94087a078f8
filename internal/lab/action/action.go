// Package action builds the action's image from the project's Dockerfile as a runner does, with the classic builder.
package action

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// Part builds the image when the sources have changed.
var Part = engine.Part{Name: "action's image", Up: up, Env: env}

func env(e *engine.Engine) (map[string]string, error) {
	image, err := Image(e.Checkout)
	return map[string]string{"LAB_ACTION_IMAGE": image}, err
}

func up(ctx context.Context, e *engine.Engine, log io.Writer) error {
	image, err := Image(e.Checkout)
	if err != nil {
		return err
	}
	if there, err := e.Output(ctx, "images", "--quiet", image); err != nil || there != "" {
		return err
	}
	return e.Build(ctx, log, e.Checkout, image)
}

// Image returns the name of the image that is built from the sources below root, committed or not.
func Image(root string) (string, error) {
	key, err := engine.FilesKey(sources{os.DirFS(root)})
	if err != nil {
		return "", fmt.Errorf("naming the action's image: %w", err)
	}
	return "eval-images-lab/action:" + key, nil
}

// sources are the files that enter the image: those that .dockerignore admits, the Dockerfile and .dockerignore itself.
type sources struct{ fs.FS }

var topLevel = []string{"Dockerfile", ".dockerignore", "go.mod", "go.sum", "main.go", "internal"}

// ReadDir filters what fs.WalkDir sees of a folder.
func (s sources) ReadDir(folder string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, folder)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, entry := range all {
		if enters(path.Join(folder, entry.Name())) {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

func enters(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return slices.Contains(topLevel, first) && name != "internal/lab" && path.Base(name) != "testdata" &&
		!strings.HasSuffix(name, "_test.go")
}
