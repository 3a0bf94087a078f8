package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// startFirst creates the pool's folder and starts the first worker, which describes the SDK.
func (p *Pool) startFirst(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return p.failed(err)
	}
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	w, err := p.newWorker(ctx)
	if err != nil {
		return err
	}
	p.description = w.description
	p.pushIdle(w)
	return nil
}

// prepare creates the pool's folder and writes the worker's programs to it.
func (p *Pool) prepare() error {
	if !fullSHA.MatchString(p.options.Checkout.SHA) {
		return fmt.Errorf("the checkout's SHA is %q, and tags are made of it", p.options.Checkout.SHA)
	}
	if err := os.MkdirAll(p.options.Dir, 0o700); err != nil {
		return err
	}
	for name, program := range map[string][]byte{"worker.py": workerProgram, "capture.py": captureProgram} {
		if err := os.WriteFile(filepath.Join(p.options.Dir, name), program, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// newWorker starts a worker and waits for its import. The error is a *SetupError, or that of ctx.
func (p *Pool) newWorker(ctx context.Context) (*worker, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the import did not end within %s", startTimeout))
	defer cancel()
	log := logFile{path: p.options.LogPath}
	before := log.size()
	w, err := startWorker(ctx, p.options, filepath.Join(p.options.Dir, p.newName()))
	if err != nil && !errors.Is(err, context.Canceled) {
		err = p.failed(withTail(err, log, before))
	}
	return w, err
}

// failed returns the SetupError of a worker that did not start.
func (p *Pool) failed(err error) error {
	return Commands{LogPath: p.options.LogPath}.failed("importing the SDK's build module", err)
}

// newName returns a new name for a worker's folder. It is short, because the folder contains a socket.
func (p *Pool) newName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	return strconv.Itoa(p.made)
}
