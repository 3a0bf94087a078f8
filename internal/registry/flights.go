package registry

import (
	"context"
	"errors"
	"sync"
)

// turns let one at a time do something, by key.
type turns struct{ of sync.Map }

// enter waits for the turn, which lasts until leave is called.
func (t *turns) enter(ctx context.Context, key string) (leave func(), err error) {
	made, _ := t.of.LoadOrStore(key, make(chan struct{}, 1))
	turn := made.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// flights are pieces of work that several ask for at once, and of which one is under way for each key.
type flights struct {
	mu    sync.Mutex
	under map[string]*flight
}

type flight struct {
	landed chan struct{}
	err    error
}

// share does the work, or waits for the answer of the one who does it under the same key, whom the others outlive: where
// that one was cancelled, another does it.
func (f *flights) share(ctx context.Context, key string, work func() error) error {
	for {
		f.mu.Lock()
		other := f.under[key]
		if other == nil {
			return f.fly(ctx, key, work) // unlocks
		}
		f.mu.Unlock()
		select {
		case <-other.landed:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !errors.Is(other.err, errGivenUp) {
			return other.err
		}
	}
}

// errGivenUp is the answer of one whose own context ended.
var errGivenUp = errors.New("given up")

func (f *flights) fly(ctx context.Context, key string, work func() error) error {
	if f.under == nil {
		f.under = map[string]*flight{}
	}
	own := &flight{landed: make(chan struct{}), err: errGivenUp}
	f.under[key] = own
	f.mu.Unlock()
	defer func() { // also when work panics
		f.mu.Lock()
		delete(f.under, key)
		f.mu.Unlock()
		close(own.landed)
	}()
	err := work()
	if ctx.Err() == nil {
		own.err = err
	}
	return err
}
