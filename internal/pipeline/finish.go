package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// finish writes the report of a run, however it ended, and gives the exit code.
func (r *run) finish(ctx context.Context, err error) int {
	cancelled := ctx.Err() != nil // asked once: what comes during the report changes nothing
	if cancelled && r.ledger != nil {
		r.recordUnfinished(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.facts.Finished, r.facts.Cancelled = time.Now(), cancelled
	if err != nil && !cancelled {
		r.facts.SetupError = ledger.Text(explain(err))
		r.tell(err)
	}
	summary := ledger.Summarize(r.facts, r.entries)
	if r.ledger != nil { // nothing was recorded by a run that was refused, or could not even make its folders
		r.writeFiles(&summary)
	}
	if r.folder != "" {
		r.giveAway()
	}
	r.report(&summary)
	failed := summary.Failed + len(summary.Run.RecordErrors)
	if summary.Run.VerifyFailed() {
		failed++
	}
	return exitCode(cancelled, err, failed)
}

// recordUnfinished gives every target of a cancelled run its line, those too that did not end in time.
func (r *run) recordUnfinished(ctx context.Context) {
	recorded := map[string]bool{}
	r.mu.Lock()
	for _, entry := range r.entries {
		recorded[entry.InstanceID] = true
	}
	targets := r.targets
	r.mu.Unlock()
	for _, t := range targets {
		if !recorded[t.InstanceID] {
			now := time.Now()
			err := &build.Error{Class: build.ClassCancelled, Err: fmt.Errorf("not ended when the run was: %w", context.Cause(ctx))}
			r.record(build.Outcome{Target: t, Err: err, Started: now, Finished: now})
		}
	}
}

// writeFiles completes the ledger, and writes lock file and summary beside it.
func (r *run) writeFiles(summary *ledger.Summary) {
	r.incomplete(summary, writing(r.completeLedger()))
	lock := filepath.Join(r.folder, ledger.LockFileName)
	err := ledger.WriteJSON(lock, report.LockFile(*summary, r.entries))
	r.incomplete(summary, writing(err))
	if err == nil {
		summary.Run.Files.LockFile = ledger.Text(r.relative(lock))
	}
	if err := ledger.WriteJSON(filepath.Join(r.folder, ledger.SummaryFileName), summary); err != nil {
		r.incomplete(summary, writing(err))
		summary.Run.Files.Summary = ""
	}
}

// completeLedger appends the lines that the ledger did not take before, when the disk was full perhaps, and closes it.
func (r *run) completeLedger() error {
	var failed []error
	for _, entry := range r.lost {
		if err := r.ledger.Append(entry); err != nil {
			failed = append(failed, err)
		}
	}
	err := r.ledger.Close()
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d images are missing from the ledger: %w", len(failed), len(r.entries), failed[0])
	}
	return err
}

// incomplete takes down why a part of the record was not written, if err says so. Such a run fails, whatever became of
// its images: who relies on the record would take what it lacks for what did not happen.
func (r *run) incomplete(summary *ledger.Summary, err error) {
	if err != nil {
		r.actions.Error("record", described(err))
		summary.Run.RecordErrors = append(summary.Run.RecordErrors, described(err))
	}
}

// report writes the outputs, and then the step summary, which says which of all other files could not be written.
func (r *run) report(summary *ledger.Summary) {
	r.incomplete(summary, r.writeOutputs(*summary))
	r.incomplete(summary, r.actions.Summary(report.Markdown(*summary)))
	if !r.actions.InActions() && r.ledger != nil { // what was refused has been said already
		fmt.Fprint(r.stdout, "\n", report.Markdown(*summary))
	}
	r.saveReported()
	r.actions.Flush()
}

func (r *run) writeOutputs(summary ledger.Summary) error {
	var failed []error
	outputs := report.Outputs(summary)
	for _, output := range outputs {
		if err := r.actions.Output(output[0], output[1]); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d outputs are missing: %w", len(failed), len(outputs), failed[0])
	}
	return nil
}

// tell prints each mistake or fault with what to do about it.
func (r *run) tell(err error) {
	for _, one := range split(err) {
		r.actions.Error("", described(one))
	}
}

// explain is the same for the report.
func explain(err error) string {
	var all []string
	for _, one := range split(err) {
		all = append(all, described(one))
	}
	return strings.Join(all, "\n")
}

// described is an error with the hint line and the log that it knows of.
func described(err error) string {
	text := err.Error()
	var hinting interface{ Hint() string }
	if errors.As(err, &hinting) && hinting.Hint() != "" {
		text += "\nhint: " + hinting.Hint()
	}
	return text
}

// split takes joined errors apart, however deep.
func split(err error) []error {
	switch e := err.(type) {
	case nil:
		return nil
	case refusal:
		return split(e.error)
	case interface{ Unwrap() []error }:
		var all []error
		for _, one := range e.Unwrap() {
			all = append(all, split(one)...)
		}
		return all
	}
	return []error{err}
}

// giveAway makes what this run wrote in the workspace its owner's: a container action is root, and a self-hosted runner
// is not when it cleans up.
func (r *run) giveAway() {
	info, err := os.Stat(r.workspace)
	if err != nil {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 || owner.Uid == 0 {
		return
	}
	top := filepath.Join(r.workspace, r.config.BuildDir)
	filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			os.Lchown(path, int(owner.Uid), int(owner.Gid)) // a log that stays root's is no reason to fail
		}
		return nil
	})
}

// cleanWithin bounds the removal of temporary files after a cancel: a runner's patience is 10 s in all, and removing an
// environment of 30,000 files can take longer on a busy disk.
const cleanWithin = 2 * time.Second

// clean removes what nobody needs after the run: the run's own builder, and beside that credentials and sdist first, then checkout and environment.
func (r *run) clean(ctx context.Context) {
	if r.setupLog != nil {
		r.setupLog.Close()
	}
	var builder sync.WaitGroup
	builder.Go(func() { r.removeBuilder(ctx) })
	defer builder.Wait()
	if r.temporary == "" {
		return
	}
	removed := make(chan error, 1)
	go func() {
		removed <- errors.Join(os.RemoveAll(filepath.Join(r.temporary, dockerConfig)),
			os.RemoveAll(filepath.Join(r.temporary, sdistFolder)), os.RemoveAll(r.temporary))
	}()
	var patience <-chan time.Time
	if ctx.Err() != nil {
		patience = time.After(cleanWithin)
	}
	select {
	case err := <-removed:
		if err != nil {
			r.actions.Info(fmt.Sprintf("temporary files are left in %s: %v", r.temporary, err))
		}
	case <-patience:
		r.actions.Info("temporary files are left in " + r.temporary)
	}
}
