package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errStalled ends an exchange in which nothing moved.
var errStalled = errors.New("no answer")

// watch ends an exchange in which nothing moves for a while. (A time for all of it would be too short for a large blob,
// or too long for a question.)
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	within time.Duration
}

// watching gives a context that ends when nothing is heard or sent for within.
func watching(ctx context.Context, within time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(within, func() { cancel(fmt.Errorf("%w for %s", errStalled, within)) })
	return ctx, &watch{ctx, cancel, timer, within}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain says that it was the watch that ended the exchange.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, errStalled) {
		return fmt.Errorf("%w: i/o timeout", cause)
	}
	return err
}

// over reads from r and notes that something moves.
func (w *watch) over(r io.Reader) io.Reader { return moving{r, w} }

type moving struct {
	io.Reader
	watch *watch
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.watch.timer.Reset(m.watch.within)
	return n, err
}

// only reads from r and watches while it does: who reads slowly is not a registry that stalled.
func (w *watch) only(r io.Reader) io.Reader {
	w.timer.Stop()
	return waiting{r, w}
}

type waiting struct {
	io.Reader
	watch *watch
}

func (r waiting) Read(p []byte) (int, error) {
	r.watch.timer.Reset(r.watch.within)
	defer r.watch.timer.Stop()
	return r.Reader.Read(p)
}
