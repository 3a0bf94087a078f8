package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// keyedMutex is a set of mutexes, one per key.
type keyedMutex struct{ mutexes sync.Map }

// lock waits for the mutex of key until ctx ends. It returns a function that unlocks it.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	value, _ := m.mutexes.LoadOrStore(key, make(chan struct{}, 1))
	mutex := value.(chan struct{})
	select {
	case mutex <- struct{}{}:
		return func() { <-mutex }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errCallerCancelled is the result of work whose own caller was cancelled. No other caller gets it.
var errCallerCancelled = errors.New("the caller was cancelled")

// share runs work at most once at a time per key; concurrent callers share its error. The first caller's work runs, and ends with
// that caller's context, so that a cancelled run sends no more requests. If that happens, another caller runs its own work. Each
// caller waits until its own context ends. doing begins the error of a cancelled caller.
func (c *Client) share(ctx context.Context, key, doing string, work func() error) error {
	for {
		done := c.inFlight.DoChan(key, func() (any, error) {
			err := work()
			if ctx.Err() != nil {
				err = errCallerCancelled
			}
			return nil, err
		})
		select {
		case result := <-done:
			if !errors.Is(result.Err, errCallerCancelled) {
				return result.Err
			}
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}
