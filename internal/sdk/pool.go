package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// PoolOptions configures a Pool.
type PoolOptions struct {
	Checkout    Checkout
	Environment Environment
	// Size is the maximum number of workers.
	Size int
	// Dir is the pool's own folder. The pool creates it, and Close removes it. Its path should be short: it contains
	// sockets, whose paths are limited to 107 characters.
	Dir string
	// Environ is where workers get their environment from, as "NAME=value". Only what a build needs is passed on:
	// PATH, HOME, proxies, certificates, uv's cache and index, DOCKER_CONFIG, DOCKER_HOST, BUILDX_BUILDER and the like.
	Environ []string
	// CacheMode is the registry cache that BuildKit exports: "off", "min" or "max".
	CacheMode string
	// LogPath is the file for the workers' output outside of builds, mostly that of the import. Empty discards it.
	LogPath string
}

// Pool runs worker processes that have imported the SDK's build module. A worker handles one request at a time,
// because the SDK changes the process's directory while it unpacks the sdist. Each worker imports the module itself: a
// fork of a process that has imported it may inherit a held lock and hang (OpenHands/benchmarks#459). The pool starts
// a worker when a request finds none idle. Its methods are safe for concurrent use.
type Pool struct {
	options PoolOptions
	slots   chan struct{} // one value for each worker in use
	closing chan struct{} // closed by Close

	startOnce, closeOnce sync.Once
	started              chan struct{} // closed when the first worker is ready, or has failed
	description          Description   // by the first worker; valid once started is closed, like startErr
	startErr             error

	mu   sync.Mutex
	made int
	idle []*worker
}

var errClosed = errors.New("the workers were closed")

// NewPool returns a pool without workers.
func NewPool(options PoolOptions) *Pool {
	return &Pool{
		options: options,
		slots:   make(chan struct{}, max(1, options.Size)),
		closing: make(chan struct{}),
		started: make(chan struct{}),
	}
}

// Start starts the first worker and does not wait for its import.
func (p *Pool) Start(ctx context.Context) {
	p.startOnce.Do(func() {
		go func() {
			defer close(p.started)
			p.startErr = p.startFirst(ctx)
		}()
	})
}

// untilClosed returns a context that Close cancels too.
func (p *Pool) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.closing:
			cancel(errClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Describe waits for the first worker's import and returns its description of the SDK. The error is a *SetupError, or
// that of ctx.
func (p *Pool) Describe(ctx context.Context) (Description, error) {
	p.Start(ctx)
	select {
	case <-p.started:
		return p.description, p.startErr
	case <-ctx.Done():
		return Description{}, contextError(ctx)
	}
}

// namesTimeout limits Names, with the import of the first worker. Tags of 50,000 images take seconds.
const namesTimeout = startTimeout + 5*time.Minute

// Names asks the SDK for the tags of each request, as full references, in the requests' order. The error wraps an
// *OptionError if the SDK rejects a field.
func (p *Pool) Names(ctx context.Context, requests []Request) ([][]string, error) {
	images := make([]image, len(requests))
	for i, r := range requests {
		images[i] = r.image()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, namesTimeout, fmt.Errorf("the SDK named no tags within %s", namesTimeout))
	defer cancel()
	answer, err := p.use(ctx, func(ctx context.Context, w *worker) (message, error) {
		return w.ask(ctx, namesRequest{"names", images})
	})
	if err == nil && len(answer.Names) != len(requests) {
		err = fmt.Errorf("%d answers to %d requests", len(answer.Names), len(requests))
	}
	if err != nil {
		return nil, fmt.Errorf("asking the SDK for tags: %w", err)
	}
	return answer.Names, nil
}

// Build builds and pushes one image. It waits while Size workers are busy. The error wraps a *BuildFailure, an
// *SDKError, an *OptionError, a *WorkerDied, ErrTimeout, logfile.ErrStalled, the error of ctx, or a *SetupError if a worker did not start.
func (p *Pool) Build(ctx context.Context, request Request) (Response, error) {
	log, err := imageLog(request.LogPath)
	if err != nil {
		return Response{}, err
	}
	answer, err := p.use(ctx, func(ctx context.Context, w *worker) (message, error) { return w.build(ctx, request, log, "") })
	if err != nil {
		err = fmt.Errorf("building on %s: %w", request.BaseImage, err)
	}
	return Response{Tags: answer.Tags, Telemetry: answer.Telemetry, SdistBuilds: answer.SdistBuilds, SdistLost: answer.SdistLost}, err
}

// use lets a worker handle one request. A worker that did not answer has been ended; a later request starts another.
func (p *Pool) use(ctx context.Context, do func(context.Context, *worker) (message, error)) (message, error) {
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	// Wait for the first import: if it fails, all would.
	if _, err := p.Describe(ctx); err != nil {
		return message{}, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return message{}, contextError(ctx)
	}
	w, err := p.take(ctx)
	if err != nil {
		return message{}, err
	}
	answer, err := do(ctx, w)
	if err != nil {
		return answer, err
	}
	p.pushIdle(w)
	return answer, answer.err()
}

// take returns an idle worker, or a new one.
func (p *Pool) take(ctx context.Context) (*worker, error) {
	for w := p.popIdle(); w != nil; w = p.popIdle() {
		if w.alive() {
			return w, nil
		}
		w.end() // It died while it was idle, so no build has failed.
	}
	return p.newWorker(ctx)
}

func (p *Pool) popIdle() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	w := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return w
}

func (p *Pool) pushIdle(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
}

// Close ends all workers and everything they started, within 4 seconds, and removes the pool's folder. Running builds
// fail.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		close(p.closing)
		p.startOnce.Do(func() { // No worker was started, and none will be.
			p.startErr = errClosed
			close(p.started)
		})
		<-p.started
		for range cap(p.slots) { // Wait for all requests: each frees its slot after its worker.
			p.slots <- struct{}{}
		}
	})
	var ending sync.WaitGroup
	for w := p.popIdle(); w != nil; w = p.popIdle() {
		ending.Go(w.end)
	}
	ending.Wait()
	return os.RemoveAll(p.options.Dir)
}
