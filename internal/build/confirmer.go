package build

import (
	"context"
	"errors"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Confirmer asks the registry for what a build says it has pushed: an image counts as built when it is there under
// every tag, and its digest is the registry's word.
type Confirmer struct {
	next     Builder
	registry Registry
}

// NewConfirmer wraps next.
func NewConfirmer(next Builder, registry Registry) *Confirmer {
	return &Confirmer{next: next, registry: registry}
}

// Build builds, then looks.
func (c *Confirmer) Build(ctx context.Context, t plan.Target) (Result, error) {
	result, err := c.next.Build(ctx, t)
	if err != nil {
		return result, err
	}
	begin := time.Now()
	digest, present, err := c.registry.Present(ctx, result.Tags)
	result.Check += time.Since(begin)
	if err == nil && !present {
		err = errors.New("the build ended well, but its tags are not all there on one digest")
	}
	if err != nil {
		return result, Unanswered("confirming the push", err)
	}
	result.Digest = digest
	return result, nil
}
