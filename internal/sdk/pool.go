package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// PoolOptions is what workers need.
type PoolOptions struct {
	Checkout    Checkout
	Environment Environment
	// Size is the greatest number of workers.
	Size int
	// Dir is a folder of the pool's own, which it makes, and removes in Close. Its path should be short: a socket's
	// path may have 107 characters.
	Dir string
	// Environ is where workers get their environment from, as "NAME=value". Only what a build needs is passed on:
	// PATH, HOME, proxies, certificates, UV_*, DOCKER_CONFIG, DOCKER_HOST, BUILDX_BUILDER and the like.
	Environ []string
	// CacheMode is the registry cache that BuildKit exports: "off", "min" or "max".
	CacheMode string
	// LogPath is a file that workers append to what they say between builds, during the import above all. Empty
	// discards it.
	LogPath string
}

// Pool runs worker processes, each with the SDK's build module imported, one request at a time: the SDK changes the
// process's directory while it unpacks, so it cannot build twice at once. Workers are never forked from a process that
// has imported the SDK: its threads may hold a lock, which would be held for ever in the fork (OpenHands/benchmarks#459).
// Its methods may be called from many goroutines.
type Pool struct {
	options PoolOptions
	slots   chan struct{} // holds one value for each worker that is in use
	closing chan struct{} // closed by Close

	startOnce, closeOnce sync.Once
	started              chan struct{} // closed when the first worker is ready, or has failed
	description          Description   // of the SDK, by that worker; to be read after started, as startErr
	startErr             error

	mu   sync.Mutex
	made int
	idle []*worker
}

var errClosed = errors.New("the workers were closed")

// NewPool makes a pool without workers.
func NewPool(options PoolOptions) *Pool {
	return &Pool{
		options: options,
		slots:   make(chan struct{}, max(1, options.Size)),
		closing: make(chan struct{}),
		started: make(chan struct{}),
	}
}

// Start begins to start the first worker, so that its import runs while the caller does other things.
func (p *Pool) Start(ctx context.Context) {
	p.startOnce.Do(func() {
		go func() {
			defer close(p.started)
			p.startErr = p.startFirst(ctx)
		}()
	})
}

// untilClosed ends ctx also when the pool is closed.
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

// Describe tells what the SDK is. Errors are a *SetupError, or ctx's.
func (p *Pool) Describe(ctx context.Context) (Description, error) {
	p.Start(ctx)
	select {
	case <-p.started:
		return p.description, p.startErr
	case <-ctx.Done():
		return Description{}, ended(ctx)
	}
}

// Names asks the SDK for the tags of each request, as full references, in the requests' order. One worker answers for
// all. The error is an *OptionError where the SDK refuses a field.
func (p *Pool) Names(ctx context.Context, requests []Request) ([][]string, error) {
	images := make([]image, len(requests))
	for i, r := range requests {
		images[i] = r.image()
	}
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

// Build builds and pushes one image. It waits while Size workers are busy. Errors are (wrapped) a *BuildFailure, an
// *SDKError, an *OptionError, a *WorkerDied, ErrTimeout, ctx's error, or a *SetupError when a worker did not start.
func (p *Pool) Build(ctx context.Context, request Request) (Response, error) {
	log, err := openable(request.LogPath)
	if err != nil {
		return Response{}, fmt.Errorf("opening the image's log: %w", err)
	}
	answer, err := p.use(ctx, func(ctx context.Context, w *worker) (message, error) { return w.build(ctx, request, log, "") })
	if err != nil {
		err = fmt.Errorf("building on %s: %w", request.BaseImage, err)
	}
	return Response{Tags: answer.Tags, Telemetry: answer.Telemetry, SdistBuilds: answer.SdistBuilds, SdistLost: answer.SdistLost}, err
}

// use lets a worker do one thing. A worker that could not answer has ended already, and is replaced when it is missed.
func (p *Pool) use(ctx context.Context, do func(context.Context, *worker) (message, error)) (message, error) {
	ctx, cancel := p.untilClosed(ctx)
	defer cancel()
	// The first worker's import comes before all: what fails there would fail in every worker.
	if _, err := p.Describe(ctx); err != nil {
		return message{}, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return message{}, ended(ctx)
	}
	w, err := p.take(ctx)
	if err != nil {
		return message{}, err
	}
	answer, err := do(ctx, w)
	if err != nil {
		return answer, err
	}
	p.putBack(w)
	return answer, answer.err()
}

// take gives an idle worker, or a new one.
func (p *Pool) take(ctx context.Context) (*worker, error) {
	for w := p.pop(); w != nil; w = p.pop() {
		if w.alive() {
			return w, nil
		}
		w.end() // It died while nobody looked; that costs no image anything.
	}
	return p.newWorker(ctx)
}

func (p *Pool) pop() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	w := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return w
}

func (p *Pool) putBack(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
}

// Close ends all workers with everything that they started, within 4 seconds, and removes the pool's folder. Builds
// that still run fail.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		close(p.closing)
		p.startOnce.Do(func() { // It never started, and never will.
			p.startErr = errClosed
			close(p.started)
		})
		<-p.started
		for range cap(p.slots) { // Who has a slot ends the worker before giving it back.
			p.slots <- struct{}{}
		}
	})
	var ending sync.WaitGroup
	for w := p.pop(); w != nil; w = p.pop() {
		ending.Go(w.end)
	}
	ending.Wait()
	return os.RemoveAll(p.options.Dir)
}
