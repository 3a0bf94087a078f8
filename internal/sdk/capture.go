package sdk

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed capture.py
var captureProgram []byte

// Captured is the docker build that the SDK runs for a request.
type Captured struct {
	// Argv is the `docker buildx build` command. Its paths are in the SDK's checkout, or were removed with the context.
	Argv []string `json:"argv"`
	// Args are its build arguments; Target and Platform are its options of those names.
	Args     map[string]string `json:"args"`
	Target   string            `json:"target"`
	Platform string            `json:"platform"`
	// Options are the other options that may change the image, as --name=value in their order: those that this program does
	// not know.
	Options []string `json:"options"`
	// Dir is a copy of the build context, with file modes. Close removes it.
	Dir string `json:"-"`
	// Dockerfile is the text of the Dockerfile.
	Dockerfile string `json:"dockerfile"`
}

// CacheMode returns the cache-mode that the build follows: "off" when it exports no cache.
func (c Captured) CacheMode() string {
	const export, mode = "--cache-to", "mode="
	for i, word := range c.Argv {
		value, joined := strings.CutPrefix(word, export+"=")
		if word == export && i+1 < len(c.Argv) {
			value, joined = c.Argv[i+1], true
		}
		if !joined {
			continue
		}
		for _, field := range strings.Split(value, ",") {
			if given, ok := strings.CutPrefix(field, mode); ok {
				return given
			}
		}
		return "min" // BuildKit's default (docs.docker.com/build/cache/backends)
	}
	return "off"
}

// CaptureError reports that the docker build of this SDK cannot be captured.
type CaptureError struct {
	// Reason is a sentence: "the SDK's build module has no _run that could be answered".
	Reason string
}

func (e *CaptureError) Error() string { return e.Reason }

// Capture runs the SDK's own build for the request, but runs no docker command: it needs no engine. If the SDK makes
// the target's context from an sdist, it uses Request.Sdist. The error is one of Build's, or wraps a *CaptureError.
func (p *Pool) Capture(ctx context.Context, request Request) (Captured, error) {
	log, err := imageLog(request.LogPath)
	if err != nil {
		return Captured{}, err
	}
	folder := filepath.Join(p.options.Dir, "context-"+p.newName())
	answer, err := p.use(ctx, func(ctx context.Context, w *worker) (message, error) {
		return w.build(ctx, request, log, folder)
	})
	if err == nil && answer.Captured == nil {
		err = &CaptureError{"the worker gave no answer to what it was asked"}
	}
	if err != nil {
		os.RemoveAll(folder)
		return Captured{}, fmt.Errorf("finding out what the SDK builds for %s: %w", request.Target, err)
	}
	answer.Captured.Dir = folder
	return *answer.Captured, nil
}
