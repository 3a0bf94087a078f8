package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/evalenv"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// environments are the images that SWT-Bench's evaluation of the whole plan runs in.
type environments struct {
	config  config.Config
	env     environment
	work    *workspace
	record  *record
	harness *evalenv.Harness
	rows    []evalenv.Row // of the whole dataset
	ids     []string      // of the whole plan

	base   image.Environment
	all    []image.Environment
	asked  []evalenv.Answer // of the plan's instances
	ledger *ledger.Writer
	lost   []ledger.Entry // entries that the ledger did not take
}

// makesEnvironments reports whether a run makes environments: of several shards, the first one makes those of all.
func makesEnvironments(c config.Config) bool {
	return c.EvalEnv != nil && c.Shard.Index <= 1 && len(c.VerifyImages) == 0
}

// describeEnvironments sets the facts about the environments that are asked for, as far as they are known from the inputs.
func (r *record) describeEnvironments(c config.Config) {
	r.set(func(f *ledger.Run) {
		f.EvalEnv = &ledger.EvalEnv{
			Prefix: c.EvalEnv.Prefix, Repository: c.EvalEnv.Repository, Ref: c.EvalEnv.Ref,
			Instances: len(r.wholePlan), Planned: len(r.wholePlan), Images: []ledger.EvalEnvImage{}, Stale: []string{},
		}
	})
}

// prepareEnvironments checks SWT-Bench out, and takes the rows of the dataset. It returns nil where no environments are to be made.
func prepareEnvironments(ctx context.Context, c config.Config, env environment, work *workspace, rec *record) (*environments, error) {
	if !makesEnvironments(c) {
		return nil, nil
	}
	e := &environments{config: c, env: env, work: work, record: rec, ids: rec.wholePlan}
	defer rec.group("Set up SWT-Bench at " + c.EvalEnv.Ref + " of " + c.EvalEnv.Repository)()
	err := rec.timed("swt-bench", func() (err error) {
		source := sdk.Source{Repository: c.EvalEnv.Repository, Ref: c.EvalEnv.Ref}
		if e.harness, err = evalenv.Clone(ctx, source, work.temporary, work.commands(env)); err == nil {
			e.rows, err = rowsOf(c.Dataset, rec.dataset)
		}
		return err
	})
	var badRef *sdk.RefError
	var bad *config.InputError
	switch {
	case errors.As(err, &badRef), errors.As(err, &bad):
		return nil, badInput{err}
	case err != nil:
		e.failed(err)
		return nil, err
	}
	rec.set(func(f *ledger.Run) { f.EvalEnv.SHA = ledger.Text(e.harness.SHA) })
	rec.Info(fmt.Sprintf("%s is %s", c.EvalEnv.Ref, e.harness.SHA))
	return e, nil
}

// failed records why the environments could not be made.
func (e *environments) failed(err error) {
	e.record.set(func(f *ledger.Run) { f.EvalEnv.Problem = ledger.Text(withHint(err)) })
}

// rowsOf returns all rows of the dataset for SWT-Bench. The error is a *config.InputError where the dataset lacks a column that
// SWT-Bench needs, and a *dataset.Unreachable where the columns could not be read.
func rowsOf(name string, list dataset.List) ([]evalenv.Row, error) {
	if list.OnlyIDs {
		return nil, &dataset.Unreachable{
			Dataset: name, Columns: evalenv.Columns, Err: errors.New("the hub did not answer, and " + list.From + " has no columns"),
		}
	}
	var rows []evalenv.Row
	has := map[string]bool{}
	for _, row := range list.Rows {
		one := evalenv.Row{"instance_id": row.ID}
		maps.Copy(one, row.Columns)
		rows = append(rows, one)
		for column := range row.Columns {
			has[column] = true
		}
	}
	for _, column := range evalenv.Columns {
		if !has[column] {
			return nil, &config.InputError{
				Input: "dataset", Problem: fmt.Sprintf("%s has no column %s, which build-eval-env needs", config.Quote(name), column),
				Fix: "choose a dataset with the columns " + strings.Join(evalenv.Columns, ", "),
			}
		}
	}
	return rows, nil
}

// ask asks SWT-Bench for the images of the plan's instances, or of all others.
func (e *environments) ask(ctx context.Context, ofPlan bool) ([]evalenv.Answer, error) {
	inPlan := map[string]bool{}
	for _, id := range e.ids {
		inPlan[id] = true
	}
	var rows []evalenv.Row
	for _, row := range e.rows {
		if inPlan[row["instance_id"]] == ofPlan {
			rows = append(rows, row)
		}
	}
	retries := image.NewRetries(e.config.MaxRetries, e.record)
	return e.harness.Ask(ctx, rows, func(attempt func() error) error { return retries.Do(ctx, &outcome.Outcome{}, attempt) })
}

// resolve asks SWT-Bench for the images of the plan.
func (e *environments) resolve(ctx context.Context) error {
	return e.record.timed("eval-env-keys", func() error {
		if err := e.harness.Install(ctx); err != nil {
			return err
		}
		var err error
		if e.asked, err = e.ask(ctx, true); err != nil {
			return err
		}
		seen := map[string]bool{}
		unknown := 0
		for _, a := range e.asked {
			if a.Err != nil {
				unknown++
				continue
			}
			if len(seen) == 0 {
				e.base = e.target(a.Base, "")
			}
			if e.reference(a.Base.Key) != e.base.Tags[0] {
				return fmt.Errorf("SWT-Bench names two bases, %s and %s", e.base.Tags[0], a.Base.Key)
			}
			if !seen[a.Env.Key] {
				seen[a.Env.Key] = true
				e.all = append(e.all, e.target(a.Env, a.Base.Key))
			}
		}
		planned := len(e.all) + unknown
		if len(e.all) > 0 {
			planned++
		}
		e.record.set(func(f *ledger.Run) { f.EvalEnv.Planned = planned })
		e.record.Info(fmt.Sprintf("%d instances need %d environments", len(e.asked), len(e.all)))
		return nil
	})
}

// reference is the image of a key, or its repository for a key without a tag.
func (e *environments) reference(key string) string { return e.config.EvalEnv.Prefix + "/" + key }

func (e *environments) target(i evalenv.Image, base string) image.Environment {
	name, _, _ := strings.Cut(i.Key, ":")
	return image.Environment{
		Target: plan.Target{InstanceID: name, BaseImage: base, Tags: []string{e.reference(i.Key)}}, Dockerfile: i.Dockerfile, Script: i.Script,
	}
}

// targets are the base and the environments.
func (e *environments) targets() []plan.Target {
	targets := []plan.Target{e.base.Target}
	for _, one := range e.all {
		targets = append(targets, one.Target)
	}
	return targets
}

// make makes the environments after the images of the agent.
func (e *environments) make(ctx context.Context, client *registry.Client, b *builder) (err error) {
	began := time.Now()
	defer func() {
		if err != nil {
			e.failed(err)
		}
		e.completeRecord(time.Since(began))
	}()
	if e.ledger, err = ledger.OpenEvalEnv(e.work.folder); err != nil {
		return err
	}
	e.record.set(func(f *ledger.Run) {
		f.EvalEnv.Ledger = ledger.Text(e.work.relative(filepath.Join(e.work.folder, ledger.EvalEnvFileName)))
	})
	if err := e.resolve(ctx); err != nil {
		return err
	}
	e.saveForPost()
	e.record.console.Restart(len(e.targets()))
	report := environmentReporter{reporter{e.record, b}, e}
	for _, a := range e.asked {
		if a.Err != nil {
			now := time.Now()
			report.record(&outcome.Outcome{Target: plan.Target{InstanceID: a.InstanceID}, Err: a.Err, Started: now, Finished: now})
		}
	}
	if len(e.all) == 0 {
		return nil
	}
	found, present := image.Present(ctx, client, e.targets())
	if found[0].Err == nil && !present[0] || e.config.ForceBuild {
		e.warnOfStale(ctx, client)
	}
	if e.config.ForceBuild || slices.Contains(present, false) {
		if err := b.Reach(ctx); err != nil {
			return err
		}
		if err := image.ProbePush(ctx, client, e.reference(e.base.InstanceID), "eval-image-prefix", e.config.MaxRetries, e.record); err != nil {
			return err
		}
	}
	b.nextBatch(e.config.EvalEnv.BatchSize)
	b.expect(len(e.all) + 1)
	maker := image.New(e.settings(b), client, nil, b, report)
	err = e.record.timed("eval-env-build", func() error { return maker.Environments(ctx, e.base, e.all) })
	b.keeper().Wait()
	return errors.Join(context.Cause(ctx), err)
}

func (e *environments) settings(b *builder) image.Settings {
	s := image.Settings{
		Repository: e.config.EvalEnv.Prefix, EvalBaseRepository: e.config.EvalEnv.Prefix, NotRebased: "environments are always built",
		Force: e.config.ForceBuild, MaxWorkers: e.config.MaxWorkers, MaxRetries: e.config.MaxRetries,
		ImageTimeout: e.config.ImageTimeout, StallTimeout: e.config.StallTimeout,
		Workspace: e.work.root, Logs: e.work.logs, Environ: b.environ, Temporary: e.work.temporary,
	}
	if e.config.Deadline > 0 {
		s.Deadline = e.record.facts.Started.Add(e.config.Deadline)
	}
	return s
}

// warnOfStale names the environments of other instances that are there and become older than their base: the evaluation throws such
// environments away.
func (e *environments) warnOfStale(ctx context.Context, client *registry.Client) {
	planned := map[string]bool{}
	for _, t := range e.targets() {
		planned[t.Tags[0]] = true
	}
	answers, err := e.ask(ctx, false)
	var others []plan.Target
	unknown := 0
	for _, a := range answers {
		switch {
		case a.Err != nil:
			unknown++
		case !planned[e.reference(a.Env.Key)]:
			planned[e.reference(a.Env.Key)] = true
			others = append(others, e.target(a.Env, a.Base.Key).Target)
		}
	}
	_, present := image.Present(ctx, client, others)
	var stale []string
	for i, there := range present {
		if there {
			stale = append(stale, others[i].Tags[0])
		}
	}
	slices.Sort(stale)
	e.record.set(func(f *ledger.Run) { f.EvalEnv.Stale = append(f.EvalEnv.Stale, stale...) })
	if len(stale) > 0 {
		e.record.Warn(fmt.Sprintf("The base is built anew, so the evaluation throws away %d environments of other instances until they are built again: %s",
			len(stale), strings.Join(stale, ", ")))
	}
	if err != nil || unknown > 0 {
		e.record.Warn(fmt.Sprintf("It is not known whether the environments of %d other instances become too old.", max(unknown, len(e.rows)-len(e.ids)-len(answers))))
	}
}

// completeRecord writes the lines that the ledger did not take, and the summary, whatever came of the environments. What cannot be
// written makes the run's record incomplete, as with the images of the agent.
func (e *environments) completeRecord(took time.Duration) {
	e.record.mu.Lock()
	defer e.record.mu.Unlock()
	if e.ledger != nil {
		missing, err := appendLost(e.ledger, e.lost)
		if missing > 0 {
			err = fmt.Errorf("the ledger of environments lacks %d of %d images: %w", missing, len(e.record.facts.EvalEnv.Images), err)
		}
		e.incomplete(err)
	}
	if e.record.closed {
		return
	}
	keys := []string{}
	for _, one := range e.all {
		keys = append(keys, strings.TrimPrefix(one.Tags[0], e.config.EvalEnv.Prefix+"/"))
	}
	var bases []string
	if len(e.base.Tags) > 0 {
		bases = []string{strings.TrimPrefix(e.base.Tags[0], e.config.EvalEnv.Prefix+"/")}
	}
	path := filepath.Join(e.work.folder, ledger.EvalEnvSummaryFileName)
	err := ledger.WriteJSON(path, ledger.SummarizeEvalEnv(e.record.facts, e.ids, bases, keys, took))
	if err == nil {
		e.record.facts.EvalEnv.Summary = ledger.Text(e.work.relative(path))
	}
	e.incomplete(err)
}

// incomplete records why a part of the record was not written.
func (e *environments) incomplete(err error) {
	if err == nil || e.record.closed {
		return
	}
	said := withHint(withDiskHint(e.work.withSpace(err)))
	e.record.actions.Error("record", said)
	e.record.facts.RecordErrors = append(e.record.facts.RecordErrors, said)
}

// environmentReporter receives the events of environments.
type environmentReporter struct {
	reporter
	environments *environments
}

// Ended records the outcome of an environment, in a ledger of its own.
func (r environmentReporter) Ended(ctx context.Context, out *outcome.Outcome) {
	r.record(out)
	r.builder.imageEnded(ctx)
}

func (r environmentReporter) record(out *outcome.Outcome) {
	rec, e := r.reporter.record, r.environments
	entry := ledger.FromOutcome(out)
	entry.StrategyReason = ""
	entry.Redact(rec.actions.Redact)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.closed {
		return
	}
	rec.facts.EvalEnv.Images = append(rec.facts.EvalEnv.Images, ledger.EvalEnvImageOf(entry, out.Target.InstanceID == e.base.InstanceID))
	rec.console.Finished(out)
	if err := e.ledger.Append(entry); err != nil {
		if len(e.lost) == 0 { // warn once: the next entries will fail too
			rec.actions.Warning("ledger", "Writing the ledger of environments failed; the run will try again at its end: "+withHint(withDiskHint(err)))
		}
		e.lost = append(e.lost, entry)
	}
	rec.annotate(entry, out)
}

// planEnvironments looks which environments a run would make.
func planEnvironments(ctx context.Context, c config.Config, env environment, client *registry.Client, work *workspace, rec *record) error {
	e, err := prepareEnvironments(ctx, c, env, work, rec)
	if err != nil || e == nil {
		return err
	}
	if err := e.resolve(ctx); err != nil {
		return err
	}
	if len(e.all) == 0 {
		return nil
	}
	outcomes, present := image.Present(ctx, client, e.targets())
	base := ""
	for i, out := range outcomes {
		planned := ledger.EvalEnvImage{Name: out.Target.InstanceID, Base: i == 0, Tags: out.Target.Tags}
		created := ""
		if out.Err == nil && present[i] {
			created, out.Err = image.Created(ctx, client, out.Tags[0])
		}
		if i == 0 {
			base = created
		}
		switch {
		case out.Err != nil:
			planned.Status, planned.Error = outcome.Failed, ledger.Text(out.Err.Error())
		case present[i] && base != "" && !image.Stale(created, base) && !c.ForceBuild:
			planned.Status, planned.Digest = outcome.Skipped, ledger.Text(out.Digest)
		}
		rec.facts.EvalEnv.Images = append(rec.facts.EvalEnv.Images, planned)
	}
	for _, a := range e.asked {
		if a.Err != nil {
			rec.facts.EvalEnv.Images = append(rec.facts.EvalEnv.Images, ledger.EvalEnvImage{Name: a.InstanceID, Status: outcome.Failed, Error: ledger.Text(a.Err.Error())})
		}
	}
	return nil
}
