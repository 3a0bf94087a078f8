package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
)

// dryRun prints what a run would do. It needs no engine, no builder and no permission to push, and without sdk-ref no SDK.
func dryRun(ctx context.Context, c config.Config, env environment, targets []plan.Target, work *workspace, rec *record) int {
	defer clean(ctx, work, nil, rec)
	var found []*outcome.Outcome
	var decisions plan.Decisions
	var err error
	_, ref := c.SDKSource()
	tagged := ref != "" && len(targets) > 0
	var client *registry.Client
	if tagged || makesEnvironments(c) {
		if err = makePlanFolders(c, env, work, rec); err == nil {
			client, err = newRegistry(c, env, targets, work, rec)
		}
	}
	if err == nil && tagged {
		targets, found, decisions, err = decide(ctx, c, env, targets, client, work, rec)
	}
	if err == nil {
		err = planEnvironments(ctx, c, env, client, work, rec)
	}
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("making the plan: %w", context.Cause(ctx)))
	}
	if err != nil {
		return rec.finish(ctx, work, targets, err)
	}
	p := report.NewPlan(rec.facts, targets, found, decisions, c.ForceBuild)
	if c.Format == "json" {
		err = p.JSON(rec.results, rec.actions.Redact)
	} else {
		for _, line := range p.Lines() {
			rec.print(line)
		}
	}
	if err != nil {
		return rec.finish(ctx, work, targets, fmt.Errorf("printing the plan: %w", err))
	}
	work.chownToOwner()
	// The outputs built and failed are 0, because nothing was built.
	err = errors.Join(rec.actions.Summary(p.Markdown()), rec.writeOutputs(ledger.Summary{Total: p.Total, Skipped: p.Present, Run: rec.facts}))
	for _, one := range split(err) {
		rec.actions.Error("", withHint(one))
	}
	rec.actions.Flush()
	if err != nil || p.Fails() {
		return ExitFailed
	}
	return ExitOK
}

// decide resolves the tags, checks which images exist, and decides how a run would make the others.
func decide(ctx context.Context, c config.Config, env environment, targets []plan.Target, client *registry.Client, work *workspace, rec *record) (
	named []plan.Target, found []*outcome.Outcome, decisions plan.Decisions, err error,
) {
	name := builderName(c.Builder, env)
	s, err := setUpSDK(ctx, c, env, work.buildEnviron(env, name), work, rec)
	defer s.close()
	if err != nil {
		return targets, nil, decisions, err
	}
	if named, err = nameTargets(ctx, c, s, targets, rec); err != nil {
		return targets, nil, decisions, err
	}
	found, missing := lookForImages(ctx, c, named, client, rec)
	err = rec.timed("plan", func() error {
		if c.Strategy == config.StrategyNative || len(missing) == 0 {
			return nil
		}
		settings := imageSettings(ctx, c, s, missing, mayRebase(c, len(named), rec.facts.PlannedTotal), nil, work, rec)
		planEvalBases(ctx, c, client).set(&settings)
		if settings.BaseStage == nil && settings.NotRebased == "" {
			settings.NotRebased = "a run of one image has nothing to learn from"
			settings.Strict = false
		}
		decisions = image.New(settings, client, s.pool, nil, reporter{rec, nil}).Plan(ctx, missing)
		return nil
	})
	ask, stop := context.WithTimeout(ctx, basesWithin)
	defer stop()
	image.LookForBases(ask, client, missing, &decisions)
	warnOfBases(named, decisions, rec)
	return named, found, decisions, err
}

// basesWithin bounds the look for the base images that nothing was decided on.
const basesWithin = 30 * time.Second

// warnOfBases warns of base images that do not exist, or of which their registry does not say that.
func warnOfBases(targets []plan.Target, decisions plan.Decisions, rec *record) {
	missing, first := 0, ""
	problems, example := map[string]int{}, map[string]string{}
	for _, t := range targets {
		d := decisions.Images[t.InstanceID]
		switch {
		case d.Base == plan.BaseMissing:
			if missing++; first == "" {
				first = t.BaseImage
			}
		case d.BaseProblem != "":
			problems[d.Class]++
			example[d.Class] = d.BaseProblem
		}
	}
	if missing > 0 {
		rec.actions.Warning("base images", fmt.Sprintf("%d of %d base images do not exist, such as %s\nhint: %s",
			missing, len(targets), first, failure.Hint(failure.ClassBaseMissing)))
	}
	for class, n := range problems {
		rec.actions.Warning("base images", fmt.Sprintf("it is not known whether %d of %d base images exist: %s\nhint: %s",
			n, len(targets), example[class], failure.HintFor(failure.Class(class), example[class])))
	}
}

// makePlanFolders makes the folders that a dry run needs when it asks the SDK or SWT-Bench.
func makePlanFolders(c config.Config, env environment, work *workspace, rec *record) error {
	if err := work.makeLogs(c); err != nil {
		return withDiskHint(err)
	}
	rec.facts.Files.Logs = ledger.Text(work.relative(work.logs))
	return withDiskHint(work.makeTemporary(env, rec.actions))
}

// lookForImages returns the targets that exist or could not be checked, and the targets that a run would make. An error of the
// registry is only a warning, so that a user without access gets a plan.
func lookForImages(ctx context.Context, c config.Config, targets []plan.Target, client *registry.Client, rec *record) (found []*outcome.Outcome, missing []plan.Target) {
	var outcomes []*outcome.Outcome
	var present []bool
	_ = rec.timed("check-registry", func() error {
		outcomes, present = image.Present(ctx, client, targets)
		return nil
	})
	var failed error
	for i, out := range outcomes {
		switch {
		case out.Err == nil && !present[i]:
			missing = append(missing, targets[i])
			continue
		case out.Err != nil && failed == nil:
			failed = out.Err
		}
		found = append(found, out)
	}
	if c.ForceBuild {
		missing = targets
	}
	if failed != nil && ctx.Err() == nil {
		var denied *registry.Denied
		if errors.As(failed, &denied) {
			failed = denied
		}
		rec.Warn("The registry did not say of every image whether it exists: " + failed.Error())
	}
	return found, missing
}
