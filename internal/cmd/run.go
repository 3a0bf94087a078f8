// Package cmd implements the commands: a run with its phases, dry run, verify, merge, doctor, prune-bases and the post step.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
)

// The program's exit codes.
const (
	ExitOK        = 0   // every image exists, or fail-on allows those that are missing
	ExitFailed    = 1   // too many images are missing, the verification failed, or the record is incomplete
	ExitBadInput  = 2   // an input is wrong; nothing was built
	ExitSetup     = 3   // the SDK, the engine, the builder or the registry could not be used
	ExitCancelled = 130 // SIGINT, SIGTERM or SIGHUP
)

// Process is what the program gets from the operating system.
type Process struct {
	Args    []string // without the program's name
	Environ []string
	Stdin   io.Reader // for --registry-password-stdin; may be nil
	Stdout  io.Writer // gets results, and in a runner the log
	Stderr  io.Writer // gets the log; nil is Stdout
	Dir     string    // the working directory; relative paths start here, except in a runner
}

// Run runs the command that the arguments name, and returns the exit code. Without arguments it makes images, with the inputs of the
// action. When ctx is cancelled, or the deadline is reached, a run stops its builds and still writes ledger, summary and outputs.
func Run(ctx context.Context, p Process) int {
	l := readCommandLine(p)
	switch l.command {
	case mergeCommand:
		return merge(l)
	case doctorCommand:
		return doctor(ctx, l)
	case pruneCommand:
		return prune(ctx, l)
	case noCommand: // help, the version, or a completion
		return l.code
	}
	env, rec := l.env, l.record()
	work := l.workspace(rec)
	c, targets, err := readInputs(ctx, l, work, rec)
	run, stop := withDeadline(ctx, c.Deadline, rec.facts.Started)
	defer stop()
	switch {
	case isBadInput(err), err != nil && c.DryRun:
		return rec.finish(run, work, targets, err)
	case c.DryRun:
		return dryRun(run, c, env, targets, work, rec)
	}
	// A run also has a record if it could not read its dataset or was cancelled.
	err = errors.Join(err, openFolders(c, env, work, rec))
	b := newBuilder(c, env, work, rec)
	defer clean(ctx, work, b, rec)
	if err != nil || len(targets) == 0 { // a shard is empty when there are more shards than images
		return rec.finish(run, work, targets, err)
	}
	err = untilEnd(ctx, run, rec, func() error {
		environments, unready := prepareEnvironments(run, c, env, work, rec)
		if isBadInput(unready) {
			return unready
		}
		client, err := newRegistry(c, env, targets, work, rec)
		if err != nil {
			return errors.Join(err, unready)
		}
		defer rec.addRequests(client)
		defer lookAhead(run, c, client, b, rec)()
		p, err := prepareImages(run, c, env, targets, client, b, work, rec)
		switch {
		case err != nil:
		case c.Load:
			err = loadImages(run, c, p, client, b, work, rec)
		case len(c.VerifyImages) > 0:
			err = verifyImages(run, c, p, client, b, work, rec)
		case len(p.missing) > 0:
			err = rec.timed(ledger.BuildPhase, func() error { return p.maker.All(run, p.missing) })
		}
		p.end(run, c, client, b, rec)
		if environments != nil && run.Err() == nil && !isBadInput(err) {
			err = errors.Join(err, environments.make(run, client, b))
		}
		return errors.Join(err, unready, context.Cause(run))
	})
	return rec.finish(run, work, targets, err)
}

// withDeadline returns a context that ends with ctx, and with the cause failure.ErrDeadline at the deadline, which is counted from
// the start of the program; 0 is none.
func withDeadline(ctx context.Context, deadline time.Duration, started time.Time) (context.Context, context.CancelFunc) {
	if deadline == 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	reached := func() { cancel(failure.ErrDeadline) }
	left := time.Until(started.Add(deadline))
	if left <= 0 {
		reached()
		return ctx, func() {}
	}
	timer := time.AfterFunc(left, reached)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// clean removes the builder of the run and, at the same time, its temporary files.
func clean(ctx context.Context, work *workspace, b *builder, rec *record) {
	var builder sync.WaitGroup
	if b != nil {
		builder.Go(func() { b.remove(ctx) })
	}
	if left := work.clean(ctx); left != "" {
		rec.Info(left)
	}
	builder.Wait()
}

// newRecord returns the record of a run that starts now.
func newRecord(p Process, env environment) *record {
	log := p.Stderr
	if log == nil {
		log = p.Stdout
	}
	rec := &record{screen: report.NewScreen(log, env.get), results: report.NewScreen(p.Stdout, env.get)}
	rec.actions = actions.New(rec.screen, env.get)
	for _, secret := range config.Secrets() {
		rec.actions.Mask(rec.actions.Input(secret))
		rec.actions.Mask(env.get(config.Variable(secret)))
	}
	for _, secret := range env.secrets() {
		rec.actions.Mask(secret)
	}
	rec.facts.Started, rec.facts.URL = time.Now(), runURL(env)
	return rec
}

// openFolders makes the folders of a run, and opens its record.
func openFolders(c config.Config, env environment, work *workspace, rec *record) error {
	err := openRecord(c, work, rec)
	if err == nil {
		err = work.makeTemporary(env, rec.actions)
	}
	return withDiskHint(err)
}

func openRecord(c config.Config, work *workspace, rec *record) error {
	if err := work.makeLogs(c); err != nil {
		return err
	}
	rec.readPrevious(work, c.PreviousSummary)
	return rec.open(work, c.MaxWorkers)
}

// reportWithin is how long the report waits for builds to end after a cancel. The runner kills the process 10 s after its first
// signal (actions/runner, ProcessInvoker.cs), and the files must be complete before.
const reportWithin = 5 * time.Second

// stopWithin is how long the report waits for builds to end after the deadline, which leaves more time than a cancel.
const stopWithin = time.Minute

// untilEnd runs part while the console shows progress. ctx ends by a cancel, and run also at the deadline. After a cancel it waits at
// most reportWithin for part, after the deadline at most stopWithin.
func untilEnd(ctx, run context.Context, rec *record, part func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- part() }()
	go rec.console.Run(run)
	defer rec.console.Close()
	select {
	case err := <-ended:
		return err
	case <-run.Done():
	}
	if ctx.Err() == nil {
		rec.Info("the deadline was reached: stopping running builds, and starting no more")
		select {
		case err := <-ended:
			return err
		case <-time.After(stopWithin):
			return fmt.Errorf("reporting %s after the deadline without what had not ended by then: %w", stopWithin, context.Cause(run))
		case <-ctx.Done():
		}
	}
	rec.Info("cancelled: stopping running builds, and starting no more")
	select {
	case err := <-ended:
		return err
	case <-time.After(reportWithin):
		return fmt.Errorf("reporting %s after the cancel without what had not ended by then: %w", reportWithin, context.Cause(ctx))
	}
}

// prepared is what a run makes its images with.
type prepared struct {
	setUp
	targets []plan.Target // with their tags
	missing []plan.Target
	maker   *image.Maker // of the missing images; nil when there are none
	kept    *keptBases
}

// prepareImages sets up the SDK, resolves the tags, finds the missing images, and checks the registry and the builder. The caller ends
// what it returns, also after an error.
func prepareImages(
	ctx context.Context, c config.Config, env environment, targets []plan.Target, client *registry.Client, b *builder, work *workspace, rec *record,
) (p prepared, err error) {
	if p.setUp, err = setUpSDK(ctx, c, env, b.environ, work, rec); err != nil {
		return p, err
	}
	p.targets, err = nameTargets(ctx, c, p.setUp, targets, rec)
	if err != nil || c.Load || len(c.VerifyImages) > 0 {
		return p, err
	}
	p.missing, err = findMissing(ctx, c, p.targets, client, rec)
	if err != nil || len(p.missing) == 0 || ctx.Err() != nil {
		return p, errors.Join(err, context.Cause(ctx))
	}
	rebases := mayRebase(c, len(p.targets), rec.facts.PlannedTotal)
	places, err := preflight(ctx, c, rebases, p.targets, client, b, rec)
	if err != nil {
		return p, err
	}
	settings := imageSettings(ctx, c, p.setUp, p.missing, rebases, b.environ, work, rec)
	places.set(&settings)
	if settings.BaseStage == nil && !settings.RefusesAll() { // every image is built natively
		if err := b.Reach(ctx); err != nil {
			return p, err
		}
	}
	p.maker = image.New(settings, client, p.pool, b, reporter{rec, b})
	b.expect(len(p.missing))
	p.kept = lookAtKept(ctx, settings, p.missing, client, rec)
	return p, nil
}

// end ends the workers, waits for the prune of the builder's cache, and leaves what other runs have to know of this one.
func (p prepared) end(ctx context.Context, c config.Config, client *registry.Client, b *builder, rec *record) {
	p.close()
	b.keeper().Wait()
	if p.maker == nil {
		sayNoReferences(ctx, c, p.checkout.SHA, client, rec)
		return
	}
	rec.addEvalBases(p.maker.EvalBaseFacts())
	p.kept.leave(ctx, p.maker.Used())
}

// connections is the number of idle connections to keep for each registry. The default of net/http is two, and then most of many
// concurrent requests need a new handshake.
const connections = 32

// newRegistry returns the registry client. It writes the credentials to the run's own Docker configuration.
func newRegistry(c config.Config, env environment, targets []plan.Target, work *workspace, rec *record) (*registry.Client, error) {
	keychain, err := writeCredentials(c, env, targets, work)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = connections
	client := registry.New(maskingKeychain{keychain, rec.actions}, transport, rec)
	client.Limit(registry.GitHub, registry.WritesPerMinute/float64(max(1, c.Shard.Count)), registry.Burst)
	return client, nil
}

// findMissing records the targets that exist or could not be checked in the registry, and returns the others.
func findMissing(ctx context.Context, c config.Config, targets []plan.Target, client *registry.Client, rec *record) (missing []plan.Target, err error) {
	if c.ForceBuild {
		return targets, nil
	}
	err = rec.timed("check-registry", func() (err error) {
		var done []*outcome.Outcome
		missing, done, err = image.FindMissing(ctx, client, c.Image, targets, c.MaxRetries)
		// Quay denies to read a repository that does not exist, and makes it when it is asked for a token to push
		// (quay/quay: endpoints/v2/v2auth.py). So a denial says nothing where pushes are allowed.
		if registry.Answered(err) && client.ProbePush(ctx, c.Image) == nil {
			missing, done, err = image.FindMissing(ctx, client, c.Image, targets, c.MaxRetries)
		}
		if err != nil {
			return err
		}
		for _, out := range done {
			rec.Ended(ctx, out)
		}
		return nil
	})
	if err == nil {
		rec.Info(fmt.Sprintf("%d of %d images have to be built", len(missing), len(targets)))
	}
	return missing, err
}

// preflight checks, before the first image, that the registry accepts pushes, and finds the place of eval-bases. It also connects to the
// builder if the run certainly needs one. Rebases need none when references and eval-bases exist.
func preflight(
	ctx context.Context, c config.Config, rebases bool, targets []plan.Target, client *registry.Client, b *builder, rec *record,
) (places evalBasePlaces, err error) {
	defer rec.group("Check builder and registry")()
	err = rec.timed("preflight", func() (err error) {
		if !rebases || c.VerifyGiven && c.Verify > 0 {
			if err := b.Reach(ctx); err != nil {
				return err
			}
		}
		if err := image.ProbePush(ctx, client, c.Image, "image", c.MaxRetries, rec); err != nil {
			return err
		}
		places, err = placeEvalBases(ctx, c, rebases, targets, client, rec)
		return err
	})
	return places, err
}

// addRequests records the requests of the run to registries.
func (r *record) addRequests(client *registry.Client) {
	r.set(func(f *ledger.Run) { f.Rebase.Requests, f.AskedAgain = client.Requests(), client.AskedAgain() })
}

// addEvalBases records the eval-bases of the run.
func (r *record) addEvalBases(facts image.EvalBaseFacts) {
	r.set(func(f *ledger.Run) {
		f.Rebase.EvalBasesMade, f.Rebase.EvalBasesReused = facts.Made, facts.Reused
		if !facts.Oldest.IsZero() {
			f.Rebase.OldestEvalBase = &facts.Oldest
		}
	})
}

// Copying reports the progress of copying a blob that the registry did not mount.
func (r *record) Copying(digest string, done, size int64) {
	if r.console != nil {
		r.console.Copying(digest, done, size)
	}
	switch {
	case done == 0:
		r.Info(fmt.Sprintf("copying %s, %s, because the registry does not mount it", digest, units.HumanSize(float64(max(0, size)))))
	case done == size:
		r.set(func(f *ledger.Run) { f.Rebase.Copied += size })
	}
}

// Pausing reports that a registry asked clients to wait.
func (r *record) Pausing(host string, wait time.Duration) {
	r.Info(fmt.Sprintf("%s asks to wait for %s: pausing writes to it", host, wait.Round(time.Second)))
	if r.console != nil {
		r.console.Pausing(host, wait)
	}
}
