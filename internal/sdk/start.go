package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// startFirst makes the process that describes the SDK: the seed, or the first worker.
func (p *Pool) startFirst(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return p.failed(err)
	}
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	if p.options.Fork {
		first, description, err := p.spawn(ctx, "seed.py", "seed")
		if err == nil {
			p.description, p.seed = description, newSeed(first)
		}
		return err
	}
	first, description, err := p.spawn(ctx, "worker.py", p.newName())
	if err == nil {
		p.description = description
		p.putBack(first)
	}
	return err
}

// prepare makes the pool's folder and puts the programs there.
func (p *Pool) prepare() error {
	if !wholeSHA.MatchString(p.options.Checkout.SHA) {
		return fmt.Errorf("the checkout's SHA is %q, and tags are made of it", p.options.Checkout.SHA)
	}
	if err := os.MkdirAll(p.options.Dir, 0o700); err != nil {
		return err
	}
	for name, program := range map[string][]byte{"worker.py": workerProgram, "seed.py": seedProgram, "capture.py": captureProgram} {
		if err := os.WriteFile(filepath.Join(p.options.Dir, name), program, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// failed makes a SetupError of a worker's start that went wrong.
func (p *Pool) failed(err error) error {
	return Commands{LogPath: p.options.LogPath}.failed("importing the SDK's build module", err)
}

// newWorker forks a worker, or spawns one. The error is a *SetupError, or ctx's.
func (p *Pool) newWorker(ctx context.Context) (*worker, error) {
	if p.seed != nil {
		w, err := p.fork(ctx)
		if err == nil || ctx.Err() != nil {
			return w, err
		}
		p.warnOfSpawning(err)
	}
	w, _, err := p.spawn(ctx, "worker.py", p.newName())
	return w, err
}

// fork makes a worker from the seed, with an error in more than one form: there is another way.
func (p *Pool) fork(ctx context.Context) (*worker, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, forkWithin, fmt.Errorf("the fork did not answer within %s", forkWithin))
	defer cancel()
	begin := func(w *worker) error { return p.seed.fork(ctx, w) }
	w, _, err := p.begin(ctx, p.newName(), begin)
	return w, err
}

func (p *Pool) warnOfSpawning(because error) {
	p.warnOnce.Do(func() {
		message := fmt.Sprintf("Workers are not forked, each imports the SDK by itself: %v", because)
		logFile{path: p.options.LogPath}.note(message)
		if p.options.Warn != nil {
			p.options.Warn(message)
		}
	})
}

// spawn starts a process of its own and waits for its import. The error is a *SetupError, or ctx's.
func (p *Pool) spawn(ctx context.Context, program, name string) (*worker, Description, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("the import did not end within %s", startWithin))
	defer cancel()
	log := logFile{path: p.options.LogPath}
	before := log.size()
	begin := func(w *worker) error { return w.spawn(p.options, filepath.Join(p.options.Dir, program)) }
	w, description, err := p.begin(ctx, name, begin)
	if err != nil && !errors.Is(err, context.Canceled) {
		err = p.failed(withTail(err, log, before))
	}
	return w, description, err
}

// begin has a process begun in the folder of that name, and waits until it has described the SDK.
func (p *Pool) begin(ctx context.Context, name string, begin func(*worker) error) (*worker, Description, error) {
	w, err := launch(ctx, logFile{path: p.options.LogPath}, filepath.Join(p.options.Dir, name), begin)
	if err != nil {
		return nil, Description{}, err
	}
	description, err := w.describe(ctx)
	if err != nil {
		return nil, Description{}, err
	}
	return w, description, nil
}

// newName names a folder that no worker had before. It is short because a socket is in the folder.
func (p *Pool) newName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	return strconv.Itoa(p.made)
}
