package image

import (
	"context"
	"errors"
	"sync"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// mostAlone is how many images may fail alone for reasons of their own before the others go together nevertheless. Where
// every base image is missing, or a registry is down, hundreds would wait for each other's retries otherwise.
const mostAlone = 3

// Canary lets one image go first while the others wait, until one has passed the stages that all images share. If a shared
// stage fails before that, after the image's retries, it has failed for every image that comes after, and those are not
// tried.
type Canary struct {
	turn chan struct{} // holds a value while an image goes alone
	open chan struct{} // closed when no image has to go alone any more

	mu     sync.Mutex
	passed bool
	broken error // the first failure of something shared, while nothing had passed
	alone  int   // images that have failed alone
}

// NewCanary returns a Canary for images that share stages.
func NewCanary() *Canary { return &Canary{turn: make(chan struct{}, 1), open: make(chan struct{})} }

// Do makes one attempt at an image, when it is the image's turn. The image that goes alone keeps its turn through its
// retries.
func (c *Canary) Do(ctx context.Context, retries Retries, out *outcome.Outcome, attempt func() error) error {
	out.Enter(outcome.WaitingForTurn)
	select {
	case <-c.open:
		return c.try(retries, out, attempt)
	case <-ctx.Done():
		return failure.NotStarted(ctx)
	case c.turn <- struct{}{}:
	}
	defer func() { <-c.turn }()
	if c.isOpen() {
		return c.try(retries, out, attempt)
	}
	err := retries.untilDone(ctx, out, attempt)
	c.learn(out, err)
	if err != nil {
		c.failedAlone()
	}
	return err
}

// try makes an attempt beside others. Before the attempt begins it looks again: a shared stage may have failed meanwhile.
func (c *Canary) try(retries Retries, out *outcome.Outcome, attempt func() error) error {
	if err := c.Broken(); err != nil {
		return err
	}
	err := attempt()
	if err == nil || !retries.another(out, err) {
		c.learn(out, err)
	}
	return err
}

// Pass says that an image has passed the shared stages. What it does from there on, packing its layers and pushing them, it
// does alone, so the others need not wait.
func (c *Canary) Pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed = true
	c.openNow()
}

// Open returns a channel that is closed when no image has to go alone any more.
func (c *Canary) Open() <-chan struct{} { return c.open }

// Broken returns why no further image is tried, or nil.
func (c *Canary) Broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passed { // by another image that was under way when something shared failed
		return nil
	}
	return c.broken
}

func (c *Canary) isOpen() bool {
	select {
	case <-c.open:
		return true
	default:
		return false
	}
}

func (c *Canary) learn(out *outcome.Outcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed *failure.Error
	switch {
	case err == nil && !out.Skipped: // An image that was there already says nothing about this builder.
		c.passed = true
		c.openNow()
	case !c.passed && c.broken == nil && errors.As(err, &failed) && failed.Shared != "":
		c.broken = failure.ForOthers(out.Target.InstanceID, err)
		c.openNow()
	}
}

func (c *Canary) failedAlone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alone++; c.alone >= mostAlone {
		c.openNow()
	}
}

// openNow needs the lock.
func (c *Canary) openNow() {
	if !c.isOpen() {
		close(c.open)
	}
}
