package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
)

// logOf is where the log goes: beside a plan in JSON, which has stdout for itself.
func (r *run) logOf(p Process) io.Writer {
	if !config.PrintsJSON(p.Args) {
		return r.stdout
	}
	if p.Stderr == nil {
		return io.Discard
	}
	return p.Stderr
}

// dryRun tells what a run would do, and does nothing of it: it needs no engine, no builder and no right to push. Without
// sdk-ref it needs no SDK either.
func (r *run) dryRun(ctx context.Context) int {
	found, foreseen, err := r.preview(ctx)
	if err != nil || ctx.Err() != nil {
		return r.finish(ctx, errors.Join(err, context.Cause(ctx)))
	}
	p := report.NewPlan(r.facts, r.targets, found, foreseen, r.config.ForceBuild)
	if r.config.Format == "json" {
		err = p.JSON(r.stdout)
	} else {
		for _, line := range p.Lines() {
			r.actions.Info(line)
		}
	}
	if err != nil {
		return r.finish(ctx, fmt.Errorf("printing the plan: %w", err))
	}
	if err := r.publish(p); err != nil {
		r.tell(err)
		r.actions.Flush()
		return ExitFailed
	}
	r.actions.Flush()
	return ExitOK
}

// preview finds out the tags, what the registry has of them, and how the others would be made.
func (r *run) preview(ctx context.Context) ([]build.Outcome, report.Foreseen, error) {
	if _, ref := r.config.SDKSource(); ref == "" || len(r.targets) == 0 {
		return nil, report.Foreseen{}, nil
	}
	if err := r.makeDryRunFolders(); err != nil {
		return nil, report.Foreseen{}, err
	}
	pool, err := r.setUpSDK(ctx)
	if err != nil {
		return nil, report.Foreseen{}, err
	}
	defer pool.Close()
	if err := r.nameTargets(ctx, pool); err != nil {
		return nil, report.Foreseen{}, err
	}
	found, missing := r.previewTags(ctx)
	var foreseen report.Foreseen
	err = r.phase("how?", func() error {
		foreseen = r.foresee(ctx, pool, missing)
		return nil
	})
	return found, foreseen, err
}

// previewTags parts the targets of which something came out when the registry was asked from those that a run would make.
func (r *run) previewTags(ctx context.Context) (found []build.Outcome, missing []plan.Target) {
	_ = r.phase("present?", func() error {
		found, missing = build.Present(ctx, r.registry, r.targets)
		return nil
	})
	if r.config.ForceBuild {
		missing = r.targets
	}
	// Who may not read, or has no registry at hand, still gets the plan.
	if failed := slices.IndexFunc(found, func(o build.Outcome) bool { return o.Err != nil }); failed >= 0 && ctx.Err() == nil {
		said := found[failed].Err
		var refused *registry.Refused
		if errors.As(said, &refused) {
			said = refused
		}
		r.warn("The registry did not say of every image whether it exists: " + said.Error())
	}
	return found, missing
}

// dryRunFolder is what a dry run leaves, beside a run's own files: logs of the SDK's set-up.
const dryRunFolder = "dry-run"

func (r *run) makeDryRunFolders() (err error) {
	r.logs = filepath.Join(r.workspace, r.config.BuildDir, r.config.Dataset, r.config.Split, dryRunFolder)
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	r.facts.Files.Logs = ledger.Text(r.relative(r.logs))
	return r.makeTemporary()
}

// publish gives a plan to the steps after this one. Built and failed are none: nothing was tried.
func (r *run) publish(p report.Plan) error {
	r.giveAway()
	return errors.Join(r.actions.Summary(p.Markdown()),
		r.writeOutputs(ledger.Summary{Total: p.Total, Skipped: p.Present, Run: r.facts}))
}
