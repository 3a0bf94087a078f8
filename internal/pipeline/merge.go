package pipeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// mergeCommand is the one word that a command line may begin with in place of a flag.
const mergeCommand = "merge"

const mergeHelp = "eval-images merge DIR... adds up what the runs of one plan's shards have left in folders.\n\n" +
	"It prints a summary in Markdown, which in a runner becomes the step summary, and writes " + ledger.SummaryFileName + ",\n" +
	ledger.FileName + " and " + ledger.LockFileName + " of the whole into the working directory.\n" +
	"Its exit code is 1 where an image is not there, or is not what a native build makes, or a file could not be written.\n"

// merge makes one report of those of several runs.
func merge(p Process) int {
	r := &run{environ: p.Environ, workspace: p.Dir}
	r.stdout = report.NewScreen(p.Stdout, r.getenv)
	r.actions = actions.New(r.stdout, r.getenv)
	dirs := p.Args[1:]
	if slices.ContainsFunc(dirs, func(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }) {
		fmt.Fprint(p.Stdout, mergeHelp)
		return ExitOK
	}
	summary, err := r.merge(dirs)
	var wrong *ledger.NotMergeable
	var mistake *config.InputError
	switch {
	case errors.As(err, &wrong), errors.As(err, &mistake):
		r.tell(err)
		r.actions.Flush()
		return ExitBadInput
	case err != nil:
		r.tell(err)
		r.actions.Flush()
		return ExitSetup
	}
	r.report(&summary)
	if summary.Failed+summary.NotStarted+len(summary.Run.RecordErrors) > 0 || summary.Run.VerifyFailed() {
		return ExitFailed
	}
	return ExitOK
}

func (r *run) merge(dirs []string) (ledger.Summary, error) {
	mistaken := func(problem string) (ledger.Summary, error) {
		return ledger.Summary{}, &config.InputError{Input: mergeCommand, Problem: problem, Fix: "write eval-images merge DIR..."}
	}
	if len(dirs) == 0 {
		return mistaken("no folder is given")
	}
	absolute := make([]string, len(dirs))
	for i, dir := range dirs {
		if strings.HasPrefix(dir, "-") {
			return mistaken(config.Quote(dir) + " is no folder, and merge has no flags")
		}
		absolute[i] = dir
		if !filepath.IsAbs(dir) {
			absolute[i] = filepath.Join(r.workspace, dir)
		}
	}
	parts, unended, err := ledger.ReadParts(absolute)
	if err != nil {
		return ledger.Summary{}, err
	}
	if slices.ContainsFunc(parts, func(part ledger.Part) bool { return part.Dir == r.workspace }) {
		return ledger.Summary{}, &ledger.NotMergeable{Fix: "run it in another folder",
			Problem: "the working directory is one of the folders to merge, and the merge would replace its files"}
	}
	summary, entries, err := ledger.Merge(parts)
	if err != nil {
		return summary, err
	}
	for _, dir := range unended {
		summary.Run.Warnings = append(summary.Run.Warnings,
			fmt.Sprintf("%s has a ledger without a summary: its run did not end, and does not count.", r.relative(dir)))
	}
	for _, warning := range summary.Run.Warnings {
		r.actions.Warning("eval-images", warning)
	}
	return r.writeMerged(summary, entries)
}

// writeMerged writes the files of the whole, as a run writes its own.
func (r *run) writeMerged(summary ledger.Summary, entries []ledger.Entry) (_ ledger.Summary, err error) {
	r.folder = r.workspace
	if r.ledger, err = ledger.Open(r.folder); err != nil {
		return summary, err
	}
	r.entries, r.lost = entries, entries // which the ledger has yet to take
	summary.Run.Files = ledger.Files{Ledger: ledger.FileName, Summary: ledger.SummaryFileName}
	r.writeFiles(&summary)
	return summary, nil
}
