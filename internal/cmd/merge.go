package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// mergeCommand is the command that merges runs. No flag comes before it.
const mergeCommand = "merge"

const mergeHelp = "eval-images merge DIR... merges the records of one plan's shards.\n\n" +
	"It prints a summary in Markdown, which becomes the step summary in a runner, and writes a merged " + ledger.SummaryFileName + ",\n" +
	ledger.FileName + ", " + ledger.LockFileName + ", " + ledger.FailedFileName + ", " + ledger.ReportFileName + " and " + ledger.TraceFileName + " to the\n" +
	"working directory.\n" +
	"Its exit code is 1 if more images are missing than fail-on allowed the runs, an image failed verification, or a file could\n" +
	"not be written.\n"

// mergeInput returns the folders that the action is to merge. The command line has the command instead.
func mergeInput(p Process) []string {
	if len(p.Args) > 0 {
		return nil
	}
	return strings.Fields(actions.New(io.Discard, environment(p.Environ).get).Input(config.MergeInput))
}

// mergeInAction merges the folders into build-dir.
func mergeInAction(p Process, dirs []string) int {
	env := environment(p.Environ)
	work := &workspace{root: cmp.Or(env.get("GITHUB_WORKSPACE"), p.Dir)}
	defer work.chownToOwner()
	return mergeInto(p, work, dirs)
}

// merge is the command merge. It returns the exit code.
func merge(p Process) int {
	return mergeInto(p, &workspace{root: p.Dir, folder: p.Dir}, p.Args[1:])
}

// mergeInto merges dirs into the folder of a workspace; without one that is the action's build-dir.
func mergeInto(p Process, work *workspace, dirs []string) int {
	env := environment(p.Environ)
	rec := &record{screen: report.NewScreen(p.Stdout, env.get)}
	rec.actions = actions.New(rec.screen, env.get)
	if slices.ContainsFunc(dirs, func(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }) {
		fmt.Fprint(p.Stdout, mergeHelp)
		return ExitOK
	}
	var err error
	if work.folder == "" {
		work.buildDir, err = config.BuildDir(rec.actions.Input("build-dir"))
		work.buildDir = work.absolute(work.buildDir)
		work.folder = work.buildDir
	}
	var summary ledger.Summary
	if err == nil {
		summary, err = mergeParts(dirs, env, work, rec)
	}
	if err != nil {
		for _, one := range split(err) {
			rec.actions.Error("", withHint(one))
		}
		rec.actions.Flush()
		var wrong *ledger.NotMergeable
		var input *config.InputError
		if errors.As(err, &wrong) || errors.As(err, &input) {
			return ExitBadInput
		}
		return ExitSetup
	}
	rec.publish(&summary)
	if summary.TooManyMissing() || len(summary.Run.RecordErrors) > 0 || summary.Run.VerifyFailed() {
		return ExitFailed
	}
	return ExitOK
}

// mergeParts merges the runs in dirs, and writes the same files as a run.
func mergeParts(dirs []string, env environment, work *workspace, rec *record) (ledger.Summary, error) {
	wrong := func(problem string) (ledger.Summary, error) {
		return ledger.Summary{}, &config.InputError{Input: mergeCommand, Problem: problem, Fix: "write eval-images merge DIR..."}
	}
	if len(dirs) == 0 {
		return wrong("no folder is given")
	}
	absolute := make([]string, len(dirs))
	for i, dir := range dirs {
		if strings.HasPrefix(dir, "-") {
			return wrong(config.Quote(dir) + " is no folder, and merge has no flags")
		}
		absolute[i] = work.absolute(dir)
	}
	parts, unended, err := ledger.ReadParts(absolute)
	if err != nil {
		return ledger.Summary{}, err
	}
	if slices.ContainsFunc(parts, func(part ledger.Part) bool { return part.Dir == work.folder }) {
		return ledger.Summary{}, &ledger.NotMergeable{
			Fix:     "run it in another folder",
			Problem: "the working directory is one of the folders to merge, and the merge would replace its files",
		}
	}
	summary, entries, err := ledger.Merge(parts)
	if err != nil {
		return summary, err
	}
	for _, dir := range unended {
		summary.Run.Warnings = append(summary.Run.Warnings,
			fmt.Sprintf("%s has a ledger but no summary: its run did not end, and is not part of the merge.", work.relative(dir)))
	}
	for _, warning := range summary.Run.Warnings {
		rec.actions.Warning("eval-images", warning)
	}
	if rec.ledger, err = ledger.Open(work.folder); err != nil {
		return summary, err
	}
	if url := runURL(env); url != "" {
		summary.Run.URL = url
	}
	summary.Run.Artifact = ledger.Text(rec.actions.Input("artifact"))
	rec.entries, rec.lost = entries, entries // writeFiles appends lost entries to the ledger
	summary.Run.Files = ledger.Files{
		Ledger:  ledger.Text(work.relative(filepath.Join(work.folder, ledger.FileName))),
		Summary: ledger.Text(work.relative(filepath.Join(work.folder, ledger.SummaryFileName))),
	}
	rec.writeFiles(work, &summary, missingIDs(nil, entries))
	return summary, nil
}
