package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// responseTimeout is how long an attempt may take from its start to the end of the response, unless it moves a stream.
const responseTimeout = 60 * time.Second

// A stream moves at least leastBytes in leastTime. Single bytes are no progress: at one byte per second, a layer takes years.
const (
	leastBytes = 1 << 20
	leastTime  = 60 * time.Second
)

// storeTimeout is how long a registry may take to answer after the last byte of a stream: some read a large blob again.
const storeTimeout = 5 * time.Minute

// errStalled ends an attempt during which nothing moves. It reads like a timeout of package net, and has the same remedy.
var errStalled = errors.New("i/o timeout")

// attempt is one try at a request, with the handshake that it may need. It ends the request when nothing moves, and keeps what
// the errors of the library leave out.
type attempt struct {
	lookUp     bool        // it does not wait for a host that has never answered
	client     *authClient // that sends it; nil before the handshake
	ctx        context.Context
	cancel     context.CancelCauseFunc
	timer      *time.Timer
	host       atomic.Pointer[host] // that is waited for: the registry, its token server, its storage, or what comes before a request
	retryAfter atomic.Int64         // nanoseconds, of the last error response
}

type attemptKey struct{}

// newAttempt returns an attempt whose context ends when h, or the host that it hands on to, does not answer in time.
func newAttempt(ctx context.Context, h *host, lookUp bool) *attempt {
	a := &attempt{lookUp: lookUp}
	a.host.Store(h)
	a.ctx, a.cancel = context.WithCancelCause(context.WithValue(ctx, attemptKey{}, a))
	a.timer = time.AfterFunc(responseTimeout, func() { a.cancel(a.host.Load().stalled(responseTimeout)) })
	return a
}

// stop ends the attempt. The caller has read the response.
func (a *attempt) stop() {
	a.timer.Stop()
	a.cancel(nil)
}

// asError returns the timeout as an error if it ended the request, and err otherwise.
func (a *attempt) asError(err error) error {
	if cause := context.Cause(a.ctx); errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// pace ends an attempt whose stream is too slow. Only the time counts in which the stream's registry has to work, from run to
// pause: a slow source is not a slow target, and a slow caller is neither.
type pace struct {
	timer    *time.Timer
	left     time.Duration // until leastBytes have moved
	moved    int64
	since    time.Time
	complete atomic.Bool // the stream; the response is awaited
}

// newPace replaces the attempt's timeout by that of a stream, which does not run yet.
func (a *attempt) newPace() *pace {
	a.timer.Stop()
	p := &pace{left: leastTime}
	p.timer = time.AfterFunc(leastTime, func() {
		if p.complete.Load() {
			a.cancel(a.host.Load().stalled(storeTimeout))
			return
		}
		a.cancel(fmt.Errorf("fewer than %d bytes in %s at %s: %w", leastBytes, leastTime, a.host.Load().name, errStalled))
	})
	p.timer.Stop()
	a.timer = p.timer
	return p
}

func (p *pace) run() {
	p.since = time.Now()
	p.timer.Reset(p.left)
}

func (p *pace) pause() {
	p.timer.Stop()
	p.left -= time.Since(p.since)
}

func (p *pace) count(n int) {
	if p.moved += int64(n); p.moved >= leastBytes {
		p.left, p.moved = leastTime, 0
	}
}

// received is a stream from a registry.
type received struct {
	io.Reader
	pace *pace
}

func (r received) Read(b []byte) (int, error) {
	r.pace.run()
	n, err := r.Reader.Read(b)
	r.pace.pause()
	r.pace.count(n)
	return n, err
}

// sent is a stream to a registry, the body of one request. It can be sent only once.
type sent struct {
	io.Reader
	pace  *pace
	begun atomic.Bool
}

func (s *sent) Read(b []byte) (int, error) {
	s.pace.pause()
	n, err := s.Reader.Read(b)
	if s.pace.count(n); err != nil {
		s.pace.complete.Store(true)
		s.pace.left = storeTimeout
	}
	s.pace.run()
	return n, err
}

// Close does nothing: a connection may still read for a moment after the response.
func (*sent) Close() error { return nil }
