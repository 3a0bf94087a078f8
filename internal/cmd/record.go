package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/report/html"
)

// record collects the facts and entries of a run, shows progress, and writes the report. It is safe for concurrent use.
type record struct {
	actions *actions.Runner
	screen  *report.Screen // gets the log
	results *report.Screen // gets what was asked for; in a runner the same as screen

	mu      sync.Mutex
	facts   ledger.Run
	entries []ledger.Entry
	ended   map[string]bool // instances that have an entry
	lost    []ledger.Entry  // entries that the ledger did not take
	ledger  *ledger.Writer  // nil for a run without a record
	console *report.Console
	// previous is the summary of an earlier run, or empty, and comparison what has changed since, or nil.
	previous      ledger.Summary
	previousGiven bool
	comparison    *ledger.Comparison
	// dataset has all of its rows, and wholePlan the ids of the instances of all shards.
	dataset   dataset.List
	wholePlan []string
	closed    bool // the report is being written; later events are ignored
}

// runURL returns the page of the workflow run, or "" outside of a runner.
func runURL(env environment) ledger.Text {
	server, repository, id := env.get("GITHUB_SERVER_URL"), env.get("GITHUB_REPOSITORY"), env.get("GITHUB_RUN_ID")
	if server == "" || repository == "" || id == "" {
		return ""
	}
	url := server + "/" + repository + "/actions/runs/" + id
	if attempt := env.get("GITHUB_RUN_ATTEMPT"); attempt != "" {
		url += "/attempts/" + attempt
	}
	return ledger.Text(url)
}

// set changes the facts.
func (r *record) set(change func(*ledger.Run)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		change(&r.facts)
	}
}

// open creates the ledger and the console. The files of an older run in the folder are renamed.
func (r *record) open(w *workspace, workers int) (err error) {
	if r.ledger, err = ledger.Open(w.folder); err != nil {
		return err
	}
	r.ended = map[string]bool{}
	r.facts.Files = ledger.Files{
		Ledger:  ledger.Text(w.relative(filepath.Join(w.folder, ledger.FileName))),
		Summary: ledger.Text(w.relative(filepath.Join(w.folder, ledger.SummaryFileName))),
		Logs:    ledger.Text(w.relative(w.logs)),
	}
	r.console = report.NewConsole(r.actions, r.screen, r.facts.Planned, workers)
	r.saveForPost()
	return nil
}

// readPrevious reads the summary of an earlier run to compare with: the file that is given, or else the one in the record's folder, which
// a new ledger renames. A run does not fail for it.
func (r *record) readPrevious(w *workspace, given string) {
	r.previousGiven = given != ""
	text, err := w.readFile(cmp.Or(given, w.relative(filepath.Join(w.folder, ledger.SummaryFileName))), maxSummaryFile)
	if err == nil {
		r.previous, err = ledger.ParseSummary(text)
	}
	if err != nil && r.previousGiven {
		r.Warn(notCompared(err))
	}
}

func notCompared(err error) string {
	return fmt.Sprintf("%s: %v. Nothing is compared with it.", config.PreviousSummaryInput, err)
}

// compare compares the run with the earlier one. A run that ended before its first image is not compared.
func (r *record) compare(summary *ledger.Summary) {
	if r.previous.StartedAt.IsZero() || len(r.entries) == 0 {
		return
	}
	var err error
	if r.comparison, err = ledger.Compare(r.previous, *summary, r.entries); err != nil && r.previousGiven {
		r.actions.Warning("eval-images", notCompared(err))
		summary.Run.Warnings = append(summary.Run.Warnings, notCompared(err))
	}
}

// Info prints a line.
func (r *record) Info(message string) { r.actions.Info(message) }

// print prints a line of the result.
func (r *record) print(line string) { fmt.Fprintln(r.results, r.actions.Clean(line)) }

// Warn prints a warning and adds it to the report.
func (r *record) Warn(message string) {
	message = failure.Shorten(r.actions.Redact(message), maxError)
	r.actions.Warning("eval-images", message)
	r.set(func(f *ledger.Run) { f.Warnings = append(f.Warnings, message) })
}

// group starts a collapsed group of log lines. The returned function ends it.
func (r *record) group(title string) (end func()) {
	r.actions.Group(title)
	return r.actions.EndGroup
}

// timed runs a part of the run and records its duration, even if it fails.
func (r *record) timed(name string, part func() error) error {
	begin := time.Now()
	if r.console != nil {
		r.console.Began(name)
		defer r.console.Ended(name)
	}
	err := part()
	took := r.phase(name, "", begin)
	if err == nil {
		r.Info(fmt.Sprintf("%s took %.1f s", name, took.Seconds()))
	}
	return err
}

// phase records a part of the run that has ended now, and returns its duration.
func (r *record) phase(name, within string, begin time.Time) time.Duration {
	took := time.Since(begin)
	r.set(func(f *ledger.Run) {
		f.Phases = append(f.Phases, ledger.Phase{Name: name, Seconds: took.Seconds(), StartedAt: &begin, Within: ledger.Text(within)})
	})
	return took
}

// Phase records a part of the build.
func (r *record) Phase(name string, begin time.Time) { r.phase(name, ledger.BuildPhase, begin) }

// Beside records work for an instance beside that on its image.
func (r *record) Beside(what string, out *outcome.Outcome) {
	r.set(func(f *ledger.Run) { f.Beside = append(f.Beside, ledger.WorkOf(what, out)) })
}

// Started shows a target that got a slot.
func (r *record) Started(t plan.Target) { r.console.Started(t) }

// Stopped shows a target that gave its slot back.
func (r *record) Stopped(t plan.Target) { r.console.Stopped(t) }

// Doing shows what a target does or waits for outside of builds.
func (r *record) Doing(t plan.Target, what, layer string) { r.console.Doing(t, what, layer) }

// Waiting shows a failed attempt that will be retried.
func (r *record) Waiting(t plan.Target, attempt int, err error, wait time.Duration) {
	r.console.Waiting(t, attempt, err, wait)
}

// Ended records the outcome of a target in the ledger and the log. A failure also gets an annotation. Only the first outcome of a target
// counts: at the end of a run a worker may still end an image that addUnfinished has recorded.
func (r *record) Ended(_ context.Context, out *outcome.Outcome) {
	entry := ledger.FromOutcome(out)
	entry.Redact(r.actions.Redact)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.ended[entry.InstanceID] {
		return
	}
	r.ended[entry.InstanceID] = true
	r.entries = append(r.entries, entry)
	r.console.Finished(out)
	if err := r.ledger.Append(entry); err != nil {
		if len(r.lost) == 0 { // warn once: the next entries will fail too
			r.actions.Warning("ledger", "Writing the ledger failed; the run will try again at its end: "+withHint(withDiskHint(err)))
		}
		r.lost = append(r.lost, entry)
	}
	r.annotate(entry, out)
}

// annotate says why an image has failed. What the end of the run stopped needs no annotation of its own.
func (r *record) annotate(entry ledger.Entry, out *outcome.Outcome) {
	if out.Status() != outcome.Failed || failure.ByEnd(out.Err) {
		return
	}
	message := fmt.Sprintf("%s: %s\nhint: %s", entry.ErrorClass, entry.Error, failure.HintOf(out.Err))
	if out.LogPath != "" {
		message += "\nlog: " + out.LogPath
	}
	r.actions.Error(entry.InstanceID, message)
}

// Reference records a reference of the run's rebases.
func (r *record) Reference(reference ledger.Reference) {
	r.set(func(f *ledger.Run) { f.Rebase.References = append(f.Rebase.References, reference) })
}

// TreesCompared records that the references' layers have equal files but different digests.
func (r *record) TreesCompared() { r.set(func(f *ledger.Run) { f.Rebase.TreesCompared = true }) }

// Verified records the comparison of an image with a native build.
func (r *record) Verified(v ledger.Verified) {
	if v.Result == ledger.VerifiedOK {
		r.Info(fmt.Sprintf("%s is equal to a native build of it", v.Instance))
	} else {
		message := fmt.Sprintf("verify: %s is %s:", v.Instance, v.Result)
		for _, difference := range v.Differences {
			message += "\n" + difference
		}
		r.actions.Error(v.Instance, message)
	}
	r.set(func(f *ledger.Run) { f.Rebase.Verified = append(f.Rebase.Verified, v) })
}

// Pruned records a prune of the builder's cache.
func (r *record) Pruned(begin time.Time, diskUsedPercent float64, freed int64) {
	r.set(func(f *ledger.Run) {
		f.Pruned = append(f.Pruned, ledger.Pruning{At: begin, DiskUsedPercent: diskUsedPercent, FreedBytes: freed})
	})
}

// finish writes the report of a run, however it ended, and returns the exit code. ctx is the run's, which ends at its deadline too;
// its end during the report has no effect.
func (r *record) finish(ctx context.Context, w *workspace, targets []plan.Target, err error) int {
	atDeadline := errors.Is(context.Cause(ctx), failure.ErrDeadline)
	cancelled := ctx.Err() != nil && !atDeadline
	if !r.requestsImages() {
		targets = nil
	}
	if ctx.Err() != nil && r.ledger != nil {
		r.addUnfinished(ctx, targets)
	}
	if r.console != nil {
		r.console.Unfinished()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.facts.Finished, r.facts.Cancelled = time.Now(), cancelled
	r.facts.StoppedForDeadline = atDeadline || slices.ContainsFunc(r.entries, func(e ledger.Entry) bool {
		return e.ErrorClass == ledger.Text(failure.ClassNotStarted)
	})
	// That the deadline was reached is no problem of the set-up: the missing images show what came of it.
	problems := slices.DeleteFunc(split(err), func(one error) bool { return one == failure.ErrDeadline })
	if !cancelled {
		var texts []string
		for _, one := range problems {
			one = w.withSpace(one)
			r.actions.Error("", withHint(one))
			texts = append(texts, withHint(one))
		}
		r.facts.SetupError = ledger.Text(strings.Join(texts, "\n"))
	}
	r.facts.Redact(r.actions.Redact)
	summary := ledger.Summarize(r.facts, r.entries)
	if r.facts.StoppedForDeadline {
		message := fmt.Sprintf("the run stopped for its deadline; images missing: %d of %d\nhint: %s",
			summary.Missing(), summary.Total, failure.Hint(failure.ClassDeadline))
		if summary.TooManyMissing() {
			r.actions.Error("deadline", message)
		} else {
			r.actions.Warning("deadline", message)
		}
	}
	if r.ledger != nil { // there is no ledger after a bad input, or if its folder could not be created
		r.writeFiles(w, &summary, missingIDs(targets, r.entries))
	}
	w.chownToOwner()
	r.publish(&summary)
	failed := 0
	if summary.Fails() {
		failed++
	}
	if atDeadline && !isBadInput(err) { // what the set-up was at then has not failed for itself
		err = nil
	}
	return exitCode(cancelled, err, failed)
}

// requestsImages reports whether the run requests images; the command verify does not.
func (r *record) requestsImages() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts.Planned > 0
}

// missingIDs lists the instances whose image is missing: those of entries that failed, and of targets without an entry.
func missingIDs(targets []plan.Target, entries []ledger.Entry) []string {
	var ids []string
	recorded := map[string]bool{}
	for _, e := range entries {
		recorded[e.InstanceID] = true
		if e.Status == outcome.Failed {
			ids = append(ids, e.InstanceID)
		}
	}
	for _, t := range targets {
		if !recorded[t.InstanceID] {
			ids = append(ids, t.InstanceID)
		}
	}
	slices.Sort(ids)
	return ids
}

// addUnfinished adds an entry for each target that had not ended when the run did, by a cancel or at its deadline.
func (r *record) addUnfinished(ctx context.Context, targets []plan.Target) {
	var err error = &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("cancelled before it ended: %w", context.Cause(ctx))}
	if errors.Is(err, failure.ErrDeadline) {
		err = failure.NotStarted(ctx)
	}
	for _, t := range targets {
		now := time.Now()
		r.Ended(ctx, &outcome.Outcome{Target: t, Err: err, Started: now, Finished: now})
	}
}

// writeFiles completes the ledger, and writes the list of missing images, the lock file and the summary.
func (r *record) writeFiles(w *workspace, summary *ledger.Summary, missing []string) {
	r.compare(summary)
	r.addRecordError(summary, withDiskHint(w.withSpace(r.completeLedger())))
	// Without a plan nobody knows what is missing, and an empty list would say that nothing is.
	if summary.Run.PlannedTotal > 0 && (len(missing) > 0 || summary.Missing() == 0) {
		list := filepath.Join(w.folder, ledger.FailedFileName)
		err := ledger.WriteLines(list, missing)
		r.addRecordError(summary, withDiskHint(w.withSpace(err)))
		if err == nil {
			summary.Run.Files.Failed = ledger.Text(w.relative(list))
		}
	}
	lock := filepath.Join(w.folder, ledger.LockFileName)
	err := ledger.WriteJSON(lock, report.LockFile(*summary, r.entries))
	r.addRecordError(summary, withDiskHint(w.withSpace(err)))
	if err == nil {
		summary.Run.Files.LockFile = ledger.Text(w.relative(lock))
	}
	r.writeReport(w, summary)
	if err := ledger.WriteJSON(filepath.Join(w.folder, ledger.SummaryFileName), summary); err != nil {
		r.addRecordError(summary, withDiskHint(w.withSpace(err)))
		summary.Run.Files.Summary = ""
	}
}

// writeReport writes report.html and trace.json.
func (r *record) writeReport(w *workspace, summary *ledger.Summary) {
	path := filepath.Join(w.folder, ledger.ReportFileName)
	var page bytes.Buffer
	err := html.Write(&page, *summary, r.entries, r.comparison)
	if err == nil {
		err = ledger.WriteFile(path, page.Bytes())
	}
	r.addRecordError(summary, withDiskHint(w.withSpace(err)))
	if err == nil {
		summary.Run.Files.Report = ledger.Text(w.relative(path))
	}
	path = filepath.Join(w.folder, ledger.TraceFileName)
	err = ledger.WriteJSON(path, html.NewTrace(*summary, r.entries))
	r.addRecordError(summary, withDiskHint(w.withSpace(err)))
	if err == nil {
		summary.Run.Files.Trace = ledger.Text(w.relative(path))
	}
}

// completeLedger retries the entries that could not be written, for example because the disk was full, and closes the ledger.
func (r *record) completeLedger() error {
	missing, err := appendLost(r.ledger, r.lost)
	if missing > 0 {
		return fmt.Errorf("the ledger lacks %d of %d images: %w", missing, len(r.entries), err)
	}
	return err
}

// appendLost appends the entries that a ledger did not take when they came, and closes it. It returns how many are missing still.
func appendLost(w *ledger.Writer, lost []ledger.Entry) (missing int, err error) {
	for _, entry := range lost {
		if failed := w.Append(entry); failed != nil {
			missing, err = missing+1, cmp.Or(err, failed)
		}
	}
	return missing, cmp.Or(err, w.Close())
}

// addRecordError records err, if it is not nil, as the reason why a part of the record was not written. Such a run fails, because a
// reader could not rely on its record.
func (r *record) addRecordError(summary *ledger.Summary, err error) {
	if err != nil {
		r.actions.Error("record", withHint(err))
		summary.Run.RecordErrors = append(summary.Run.RecordErrors, withHint(err))
	}
}

// publish writes the outputs and then the step summary, which lists everything that could not be written. A summary that cannot
// be written goes to the log.
func (r *record) publish(summary *ledger.Summary) {
	r.addRecordError(summary, r.writeOutputs(*summary))
	err := r.actions.Summary(report.Markdown(*summary, r.entries, r.comparison))
	r.addRecordError(summary, err)
	if err != nil {
		_ = r.actions.Summary(report.Verdict(*summary)) // it is short, so it may still fit
	}
	if r.ledger != nil { // bad inputs were already printed
		switch {
		case !r.actions.InActions():
			for _, line := range report.Ending(*summary, r.comparison) {
				r.print(line)
			}
		case err != nil:
			for line := range strings.Lines(report.Markdown(*summary, r.entries, r.comparison)) {
				r.Info(line)
			}
		}
	}
	r.saveReported()
	r.actions.Flush()
}

func (r *record) writeOutputs(summary ledger.Summary) error {
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
