package image

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// withTimeout bounds one piece of work by image-timeout: a native build with its base image, or the build and inspection of an
// eval-base or base stage. Waiting for another image's work costs no time. Small requests to registries are not bounded here: package
// registry ends each of them, and a pause that a registry asks for must not end as a timeout.
func (m *Maker) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.ImageTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, m.ImageTimeout, sdk.ErrTimeout)
}

// errCopyTimeout is why an image fails whose layers arrive too slowly.
var errCopyTimeout = errors.New("copying took longer than image-timeout allows")

// layerCopies are the layers that are brought into the repository of the images at the moment, by digest.
type layerCopies struct {
	running  singleflight.Group
	unwanted chan struct{} // closed when all images have ended, so that none waits for a copy any more
}

// context returns a context that ends when no image waits for a copy any more.
func (c *layerCopies) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.unwanted:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// mountLayers brings layers of an eval-base, or of the references, into the repository of the images. Where the registry mounts none,
// that copies them, and then image-timeout bounds the time that this image spends on it. It returns how much of that is left.
func (m *Maker) mountLayers(
	ctx context.Context, t plan.Target, out *outcome.Outcome, from string, layers []rebase.Layer, left time.Duration,
) (time.Duration, error) {
	if from == m.Repository {
		return left, nil
	}
	for _, l := range layers {
		took, err := m.mountLayer(ctx, t, out, from, l, left)
		if err != nil {
			return left, err
		}
		left -= took
	}
	out.Enter(outcome.Push)
	return left, nil
}

// mountLayer brings one layer into the repository of the images. If another image is bringing it, mountLayer waits, which takes none of
// this image's time. An image whose time is up fails; the copy goes on for the images that wait for it, until image-timeout has passed.
func (m *Maker) mountLayer(
	ctx context.Context, t plan.Target, out *outcome.Outcome, from string, l rebase.Layer, left time.Duration,
) (took time.Duration, err error) {
	begun := make(chan struct{})
	ended := m.copies.running.DoChan(l.Digest, func() (any, error) {
		close(begun)
		wanted, stop := m.copies.context(ctx)
		defer stop()
		bounded, cancel := m.withTimeout(wanted)
		defer cancel()
		err := m.registry.Mount(bounded, from, m.Repository, l.Digest, l.Size)
		if err != nil && wanted.Err() == nil && bounded.Err() != nil {
			err = copyTimeout(from, l)
		}
		return nil, err
	})
	m.report.Doing(t, "waiting for a layer that another image brings", "")
	out.Enter(outcome.WaitingForLayer)
	defer m.report.Doing(t, pushing, "")
	var begin time.Time
	var late <-chan time.Time
	for {
		select {
		case <-begun: // by this image
			m.report.Doing(t, pushing, l.Digest)
			out.Enter(outcome.Copy)
			begin, begun = time.Now(), nil
			if m.ImageTimeout > 0 {
				timer := time.NewTimer(left)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return 0, copyTimeout(from, l)
		case result := <-ended:
			if begun == nil {
				took = time.Since(begin)
			}
			return took, result.Err
		}
	}
}

func copyTimeout(from string, l rebase.Layer) error {
	return &failure.Error{Class: failure.ClassTimeout, Err: fmt.Errorf("copying the layer %s of %s: %w", l.Digest, from, errCopyTimeout)}
}
