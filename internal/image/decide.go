package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Decision is how a missing image will be made, and what was found to make it with.
type Decision struct {
	plan.Decision
	base  string             // the base image by digest; empty where it has to be made first
	key   string             // of the eval-base
	found *registry.Manifest // the eval-base's manifest, where it is there
	in    string             // the repository in which it was found
	// evalBase is the eval-base that is there, when all of it was read.
	evalBase *FetchedImage
}

// FindMissing asks the registry for the images of all targets. It returns the targets that are missing, in their order, and
// the outcomes of the others. A target whose image may or may not be there has failed: to build it could overwrite what is
// there, and to skip it could leave a hole. Where asking again may help, the target counts as missing, because each attempt
// at an image asks first. The error is a *registry.Denied when no question was answered: it concerns every image.
func FindMissing(ctx context.Context, r *registry.Client, repository string, targets []plan.Target, maxRetries int) (
	missing []plan.Target, done []*outcome.Outcome, err error,
) {
	outcomes, present := Present(ctx, r, targets)
	var denied *registry.Denied
	var silence error
	answered := ctx.Err() != nil
	for i, out := range outcomes {
		switch {
		case out.Err == nil, registry.Answered(out.Err) && !errors.As(out.Err, &denied):
			answered = true
		case denied == nil:
			silence = out.Err
		}
		// A denied request is made again, too: where others were answered, it is not about the credentials.
		again := failure.Paused(out.Err) || maxRetries > 0 && (failure.ClassOf(out.Err) == failure.ClassAuth || failure.Retryable(out.Err))
		if out.Err == nil && !present[i] || again {
			missing = append(missing, targets[i])
		} else {
			done = append(done, out)
		}
	}
	switch {
	case answered:
	case denied != nil:
		return nil, nil, denied
	case failure.ClassOf(silence) == failure.ClassTLS, failure.ClassOf(silence) == failure.ClassAuth: // their hints say what to do
		return nil, nil, fmt.Errorf("reaching the registry of %s: %w", repository, silence)
	case silence != nil:
		return nil, nil, &registry.Denied{Doing: "reaching the registry of " + repository, Err: silence}
	}
	return missing, done, nil
}

// Present asks the registry for the images of all targets. It returns their outcomes, and whether each image is there, both
// in the order of the targets. An outcome has an error where the registry gave no clear answer.
func Present(ctx context.Context, r *registry.Client, targets []plan.Target) (outcomes []*outcome.Outcome, present []bool) {
	outcomes, present = make([]*outcome.Outcome, len(targets)), make([]bool, len(targets))
	asking := newSlots("look-up", requestsAtOnce)
	var asked sync.WaitGroup
	for i, t := range targets {
		asked.Go(func() {
			out := &outcome.Outcome{Target: t, Started: time.Now()}
			out.Err = asking.do(ctx, out, outcome.WaitingToLookUp, func() (err error) {
				out.Enter(outcome.LookUp)
				present[i], err = isPresent(ctx, r, t, out)
				return err
			})
			out.Finished = time.Now()
			outcomes[i] = out
		})
	}
	asked.Wait()
	return outcomes, present
}

// isPresent asks whether all tags of a target are there on one digest, and completes its outcome when they are.
func isPresent(ctx context.Context, r *registry.Client, t plan.Target, out *outcome.Outcome) (bool, error) {
	defer addTime(&out.Check, time.Now())
	digest, present, err := r.Present(ctx, t.Tags)
	switch {
	case err != nil && ctx.Err() != nil:
		return false, failure.NotStarted(ctx)
	case err != nil:
		return false, failure.OfRegistry("asking the registry whether the image exists", err)
	case present:
		out.Skipped, out.Tags, out.Digest = true, t.Tags, digest
	}
	out.WasMissing = !present
	return present, nil
}

// Decide decides how a missing image is made: by rebase on an eval-base, or, when the error is a *rebase.Refusal, natively for
// that reason. Other errors are a *failure.Error of a registry that gave no clear answer. It sends one HEAD for the digest
// of the base image, because a GET of a manifest counts as a pull at Docker Hub, and one GET of the eval-base's manifest.
//
// Three things can only be known later: what the configuration of the eval-base refuses, the eval-base of a base image that
// has to be made first, and that an eval-base or a blob is lost after the look.
func (m *Maker) Decide(ctx context.Context, t plan.Target) (Decision, error) {
	if err := m.references.refused; err != nil {
		return Decision{}, err
	}
	base, err := m.lookUpPipBase(ctx, t)
	if err != nil {
		return Decision{}, err
	}
	if !base.there {
		return Decision{Decision: plan.Decision{How: plan.Rebase, EvalBase: base.reference, Missing: true}}, nil
	}
	return m.decideOn(ctx, base.reference)
}

// missingBase is the reason of a target whose base image does not exist.
const missingBase = "the base image's registry does not have it, so that its digest is not known"

// decideOn decides how a missing image is made, on a base image that exists.
func (m *Maker) decideOn(ctx context.Context, baseImage string) (Decision, error) {
	digest, err := m.registry.Digest(ctx, baseImage)
	switch {
	case err != nil && !registry.Answered(err) && ctx.Err() == nil:
		return Decision{}, &unreachable{baseImage, err} // The builder may know a way to it, for example a mirror.
	case err != nil:
		return Decision{}, registryFailure(ctx, "asking for the digest of the base image "+baseImage, err)
	case digest == "":
		return Decision{}, &rebase.Refusal{Reason: missingBase}
	}
	d := Decision{base: baseImage + "@" + digest, key: m.BaseStage.Key.On(digest)}
	d.How, d.EvalBase = plan.Rebase, EvalBaseTag(d.key)
	manifest, in, err := m.findEvalBase(ctx, d.EvalBase)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		d.Missing = true
		return d, nil
	case err != nil:
		return Decision{}, registryFailure(ctx, "asking for its eval-base", err)
	}
	created, dated := rebase.CreatedAt(manifest.Raw)
	if m.EvalBaseMaxAge > 0 && (!dated || time.Since(created) > m.EvalBaseMaxAge) {
		d.Missing = true
		return d, nil
	}
	d.found, d.in = &manifest, in
	return d, rebase.IsRebasable(manifest.Raw)
}

// readEvalBase adds to a decision the rest of the eval-base that was found. An eval-base of which the registry lacks a part
// is missing.
//
// Until then a HEAD alone has told which base image it is. Where the eval-base is there and names that base image, it was made
// by a build that has checked the digest. Else the digest is checked now, before anything is built on it.
func (m *Maker) readEvalBase(ctx context.Context, d *Decision) error {
	if d.base == "" { // the base image has to be made first
		return nil
	}
	baseImage, _, _ := strings.Cut(d.base, "@")
	named := ""
	if d.found != nil {
		named, _ = rebase.BaseOf(d.found.Raw)
	}
	if named != baseImage {
		if err := m.registry.Confirm(ctx, d.base); err != nil {
			return registryFailure(ctx, "checking the digest of the base image "+baseImage, err)
		}
	}
	if d.found == nil {
		return nil
	}
	found, err := fetchRest(ctx, m.registry, d.in+":"+d.EvalBase, *d.found)
	switch {
	case err == nil:
		d.evalBase = &found
	case errors.Is(err, errIncomplete):
		d.Missing = true
	default:
		return registryFailure(ctx, "asking for its eval-base", err)
	}
	return nil
}

// unreachable is the refusal of a target whose base image's registry did not answer at all.
type unreachable struct {
	baseImage string
	err       error
}

func (u *unreachable) Error() string { return u.Unwrap().Error() }

// Unwrap gives the refusal.
func (u *unreachable) Unwrap() error {
	return &rebase.Refusal{Reason: "the registry of the base image does not answer: " + u.err.Error()}
}

// tooFewToLearnFrom is the reason where a run can make no two references.
const tooFewToLearnFrom = "there are not two references, and too few missing images that could become references"

// Plan decides for all missing targets, for a dry run. What the configuration of an eval-base shows, and what a reference
// that is yet to be made shows, it does not know: images that will be refused for that count as rebases.
func (m *Maker) Plan(ctx context.Context, missing []plan.Target) plan.Decisions {
	p := plan.Decisions{Images: map[string]plan.Decision{}}
	if m.BaseStage == nil {
		for _, t := range missing {
			p.Images[t.InstanceID] = m.refused(t, m.NotRebased)
		}
		return p
	}
	m.references.find(ctx, m, nil)
	m.references.refused = m.references.disagree()
	references := m.references.missing() // to be made
	if m.ReferencesWait > 0 {            // the first shard makes them
		references = 0
	}
	ordered := Candidates(missing)
	if buildable(ordered) < references {
		for _, t := range missing {
			p.Images[t.InstanceID] = m.refused(t, tooFewToLearnFrom)
		}
		return p
	}
	for _, t := range ordered[:references] {
		p.Images[t.InstanceID] = plan.Decision{How: plan.Reference}
	}
	m.planOthers(ctx, ordered[references:], p.Images)
	rebased := 0
	for _, d := range p.Images {
		if d.How == plan.Rebase {
			rebased++
		}
	}
	p.Verify = min(m.Verify, rebased)
	return p
}

// planOthers decides for the targets that become no references.
func (m *Maker) planOthers(ctx context.Context, targets []plan.Target, images map[string]plan.Decision) {
	var mu sync.Mutex
	silent := map[string]error{} // by the host of base images that did not answer once: each further request would take as long
	var unknown []error
	var asked errgroup.Group
	asked.SetLimit(requestsAtOnce)
	for _, t := range targets {
		asked.Go(func() error {
			host, _, _ := strings.Cut(t.BaseImage, "/")
			mu.Lock()
			err := silent[host]
			mu.Unlock()
			var d Decision
			if err == nil {
				d, err = m.Decide(ctx, t)
			}
			mu.Lock()
			defer mu.Unlock()
			var refusal *rebase.Refusal
			var noAnswer *unreachable
			switch {
			case errors.As(err, &noAnswer):
				silent[host] = err
				unknown = append(unknown, failure.OfRegistry("asking for the digest of the base image "+noAnswer.baseImage, noAnswer.err))
				d.Decision = undecided(unknown[len(unknown)-1])
			case errors.As(err, &refusal):
				evalBase := d.EvalBase
				d.Decision = m.refused(t, refusal.Reason)
				d.EvalBase = evalBase
				if refusal.Reason == missingBase {
					d.Base = plan.BaseMissing
				}
			case err != nil:
				unknown = append(unknown, err)
				d.Decision = undecided(err)
			case d.base != "":
				d.Base = plan.BasePresent
			}
			images[t.InstanceID] = d.Decision
			return nil
		})
	}
	_ = asked.Wait() // an image's error is in its Decision
	if len(unknown) > 0 && ctx.Err() == nil {
		m.report.Warn(fmt.Sprintf("It is not known how %d of the missing images would be made: %v\nhint: %s", len(unknown), unknown[0], failure.HintOf(unknown[0])))
	}
}

// undecided is the decision for an image when a registry gave no clear answer.
func undecided(err error) plan.Decision {
	return plan.Decision{How: plan.Unknown, Reason: err.Error(), Class: string(failure.ClassOf(err))}
}

// LookForBases asks for the base images that the decisions say nothing about, and adds what it finds. A registry that does not answer at
// all is left out: the builder may know a way to it.
func LookForBases(ctx context.Context, r *registry.Client, targets []plan.Target, decisions *plan.Decisions) {
	if decisions.Images == nil {
		decisions.Images = map[string]plan.Decision{}
	}
	var mu sync.Mutex
	silent := map[string]bool{}
	var asked errgroup.Group
	asked.SetLimit(requestsAtOnce)
	for _, t := range targets {
		asked.Go(func() error {
			host, _, _ := strings.Cut(t.BaseImage, "/")
			mu.Lock()
			d, skip := decisions.Images[t.InstanceID], silent[host]
			mu.Unlock()
			if skip || d.Base != "" || d.How == plan.Unknown || ctx.Err() != nil {
				return nil
			}
			digest, err := r.Digest(ctx, t.BaseImage)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && !registry.Answered(err):
				silent[host] = true
				return nil
			case err != nil:
				failed := failure.OfRegistry("asking for the base image "+t.BaseImage, err)
				d.BaseProblem, d.Class = failed.Error(), string(failure.ClassOf(failed))
			case digest == "":
				d.Base = plan.BaseMissing
			default:
				d.Base = plan.BasePresent
			}
			decisions.Images[t.InstanceID] = d
			return nil
		})
	}
	_ = asked.Wait() // what was answered is in the decisions
}

// refused is the decision for an image that cannot be rebased.
func (m *Maker) refused(t plan.Target, reason string) plan.Decision {
	if t.NotNative != "" {
		return plan.Decision{How: plan.None, Reason: strings.TrimPrefix(reason+"; "+t.NotNative, "; ")}
	}
	if m.Strict && reason != "" {
		return plan.Decision{How: plan.None, Reason: reason}
	}
	return plan.Decision{How: plan.Native, Reason: reason}
}
