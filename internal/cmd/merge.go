package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// mergeCommand is the command that merges runs. No flag comes before it.
const mergeCommand = "merge"

const mergeHelp = "Merge the records of one plan's shards. It prints what came of them, and writes a merged " + ledger.SummaryFileName + ", " +
	ledger.FileName + ", " + ledger.LockFileName + ", " + ledger.FailedFileName + ", " + ledger.ReportFileName + " and " + ledger.TraceFileName +
	" to the working directory.\n\n" +
	"Its exit code is 1 if more images are missing than fail-on allowed the runs, an image failed verification, the set-up of a " +
	"shard failed, or a file could not be written."

// mergeVariable has the folders to merge, where the action is to merge.
var mergeVariable = "INPUT_" + strings.ToUpper(config.MergeInput)

// merge is the command merge, which merges into the working directory, and the action with the input merge, which merges into build-dir.
// It returns the exit code.
func merge(l *commandLine) int {
	rec := l.record()
	if len(l.mistakes) > 0 {
		return rec.fail(errors.Join(l.mistakes...))
	}
	work := &workspace{root: l.process.Dir, folder: l.process.Dir}
	if len(l.process.Args) == 0 { // the action
		work = l.workspace(rec)
		dir, err := config.BuildDir(rec.actions.Input("build-dir"))
		if err != nil {
			return rec.fail(err)
		}
		defer work.chownToOwner()
		work.buildDir = work.absolute(dir)
		work.folder = work.buildDir
	}
	summary, err := mergeParts(l.args, l.env, work, rec)
	if err != nil {
		return rec.fail(err)
	}
	rec.publish(&summary)
	if summary.Fails() {
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
	isAction := work.buildDir != ""
	absolute := make([]string, len(dirs))
	for i, dir := range dirs {
		if strings.HasPrefix(dir, "-") {
			return wrong(config.Quote(dir) + " is no folder, and merge has no flags")
		}
		absolute[i] = work.absolute(dir)
		if _, err := os.Stat(absolute[i]); isAction && filepath.IsAbs(dir) && errors.Is(err, fs.ErrNotExist) { // ${{ github.workspace }} is a path of the host
			return ledger.Summary{}, &config.InputError{
				Input: config.MergeInput, Problem: "there is no folder " + config.Quote(dir), Fix: "write paths relative to the workspace, such as shards",
			}
		}
	}
	parts, unended, err := ledger.ReadParts(absolute)
	if err != nil {
		return ledger.Summary{}, err
	}
	if slices.ContainsFunc(parts, func(part ledger.Part) bool { return part.Dir == work.folder }) {
		folder, fix := work.folder, "run it in another folder"
		if isAction {
			folder, fix = work.relative(work.folder), "set build-dir to another folder"
		}
		return ledger.Summary{}, &ledger.NotMergeable{
			Problem: "the merge would replace the record in " + folder + ", which is one of the folders to merge", Fix: fix,
		}
	}
	for i := range parts {
		parts[i].Relocate(work.relative(parts[i].Dir))
	}
	summary, entries, err := ledger.Merge(parts)
	if err != nil {
		return summary, err
	}
	for _, dir := range unended {
		summary.Run.Warnings = append(summary.Run.Warnings,
			fmt.Sprintf("%s has a ledger but no summary: its run was killed. Its images are not in the merge; run that shard again.", work.relative(dir)))
	}
	for _, warning := range summary.Run.Warnings {
		rec.actions.Warning("eval-images", warning)
	}
	rec.readPrevious(work, rec.actions.Input(config.PreviousSummaryInput))
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
