package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// evalBasePlaces are the repositories of a run's eval-bases, references and base images with Python packages.
type evalBasePlaces struct {
	written string
	read    string // where those are looked for that are not in written; may be empty
	allowed bool   // the registry accepts pushes to written
}

// set sets the places in the settings of a run's images.
func (p evalBasePlaces) set(s *image.Settings) {
	s.EvalBaseRepository, s.OtherEvalBases, s.EvalBasePushAllowed = p.written, p.read, p.allowed
	if p.read == p.written {
		s.OtherEvalBases = ""
	}
}

// placeEvalBases returns where a run keeps its eval-bases. It asks whether the default repository accepts pushes, if the run may push
// there. Where that is refused, the images' repository is the place. A repository that the user has named is asked later, before the first
// push to it: a run that finds all eval-bases pushes none.
func placeEvalBases(ctx context.Context, c config.Config, mayRebase bool, targets []plan.Target, client *registry.Client, rec *record) (evalBasePlaces, error) {
	places := evalBasePlaces{written: c.EvalBaseImage, read: c.Image}
	if c.EvalBaseGiven || !mayRebase && !addsPackages(targets) {
		return places, nil
	}
	err := image.ProbePush(ctx, client, c.EvalBaseImage, "eval-base-image", c.MaxRetries, rec)
	switch {
	case err == nil:
		places.allowed = true
		return places, nil
	case ctx.Err() != nil:
		return places, err
	}
	rec.Warn(fmt.Sprintf("Eval-bases and references go to %s, among the images, where a clean-up of old images deletes them, too: %v. "+
		"Create that repository, allow pushes to it, or name another one in eval-base-image.", c.Image, err))
	return amongImages(ctx, c, client), nil
}

// amongImages returns the places of a run that pushes to the images' repository only.
func amongImages(ctx context.Context, c config.Config, client *registry.Client) evalBasePlaces {
	places := evalBasePlaces{written: c.Image, allowed: true}
	if mayRead(ctx, c.EvalBaseImage, client) {
		places.read = c.EvalBaseImage
	}
	return places
}

// planEvalBases returns where a dry run looks for eval-bases. Nobody has asked whether they may be pushed to the default repository, which
// may not exist yet. Registries deny to read one that does not exist, or belongs to others, and a run would not use it then.
func planEvalBases(ctx context.Context, c config.Config, client *registry.Client) evalBasePlaces {
	if !c.EvalBaseGiven && !mayRead(ctx, c.EvalBaseImage, client) {
		return evalBasePlaces{written: c.Image}
	}
	return evalBasePlaces{written: c.EvalBaseImage, read: c.Image}
}

// mayRead reports whether the registry answers questions about a repository. No answer is not a denial.
func mayRead(ctx context.Context, repository string, client *registry.Client) bool {
	_, err := client.Digest(ctx, repository+":"+image.LastRunTag)
	_, denied := errors.AsType[*registry.Denied](err)
	return !denied
}

// addsPackages reports whether base images of targets get Python packages first.
func addsPackages(targets []plan.Target) bool {
	return slices.ContainsFunc(targets, func(t plan.Target) bool { return t.PipRequirements != "" })
}
