package sdk

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed capture.py
var captureProgram []byte

// Captured is what the SDK's build would have docker do for a request.
type Captured struct {
	// Argv is the `docker buildx build` command. Paths in it are of the SDK's checkout, or gone.
	Argv []string `json:"argv"`
	// Args are the build arguments that it passes; Target and Platform are its options of those names.
	Args     map[string]string `json:"args"`
	Target   string            `json:"target"`
	Platform string            `json:"platform"`
	// Dir is a copy of the build context, with modes. It is there until the pool is closed.
	Dir string `json:"-"`
	// Dockerfile is the text of the one that is built from.
	Dockerfile string `json:"dockerfile"`
}

// Uncapturable is an SDK whose build does not show, in a way that is known here, what it would have docker do.
type Uncapturable struct {
	// Reason is a sentence: "the SDK's build module has no _run that could be answered".
	Reason string
}

func (e *Uncapturable) Error() string { return e.Reason }

// Capture runs the SDK's own build for the request with every docker command answered and none run: it needs no engine.
// Where the target's context is made from an sdist, Request.Sdist saves making one. Errors are Build's, or (wrapped) an
// *Uncapturable.
func (p *Pool) Capture(ctx context.Context, request Request) (Captured, error) {
	log, err := openable(request.LogPath)
	if err != nil {
		return Captured{}, fmt.Errorf("opening the image's log: %w", err)
	}
	folder := filepath.Join(p.options.Dir, "context-"+p.newName())
	answer, err := p.use(ctx, func(ctx context.Context, w *worker) (message, error) {
		return w.build(ctx, request, log, folder)
	})
	if err == nil && answer.Captured == nil {
		err = &Uncapturable{"the worker gave no answer to what it was asked"}
	}
	if err != nil {
		os.RemoveAll(folder)
		return Captured{}, fmt.Errorf("finding out what the SDK builds for %s: %w", request.Target, err)
	}
	answer.Captured.Dir = folder
	return *answer.Captured, nil
}
