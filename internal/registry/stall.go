package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errStalled = errors.New("no response")

// stallTimeout cancels a request during which no byte moves for some time. A timeout for the whole request would be too short
// for a large blob or too long for a small request.
type stallTimeout struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// withStallTimeout returns a context that ends when no byte moves for limit.
func withStallTimeout(ctx context.Context, limit time.Duration) (context.Context, *stallTimeout) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w for %s", errStalled, limit)) })
	return ctx, &stallTimeout{ctx, cancel, timer, limit}
}

func (s *stallTimeout) stop() {
	s.timer.Stop()
	s.cancel(nil)
}

// asError returns the timeout as an error if it ended the request, and err otherwise.
func (s *stallTimeout) asError(err error) error {
	if cause := context.Cause(s.ctx); errors.Is(cause, errStalled) {
		return fmt.Errorf("%w: i/o timeout", cause)
	}
	return err
}

// resetOnRead returns a reader that restarts the timeout after each read. It is for a body that is sent.
func (s *stallTimeout) resetOnRead(r io.Reader) io.Reader { return resetOnRead{r, s} }

type resetOnRead struct {
	io.Reader
	timeout *stallTimeout
}

func (r resetOnRead) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.timeout.timer.Reset(r.timeout.limit)
	return n, err
}

// runOnRead returns a reader that runs the timeout only during its reads. It is for a body that is received: a slow caller is not
// a stalled registry.
func (s *stallTimeout) runOnRead(r io.Reader) io.Reader {
	s.timer.Stop()
	return runOnRead{r, s}
}

type runOnRead struct {
	io.Reader
	timeout *stallTimeout
}

func (r runOnRead) Read(p []byte) (int, error) {
	r.timeout.timer.Reset(r.timeout.limit)
	defer r.timeout.timer.Stop()
	return r.Reader.Read(p)
}
