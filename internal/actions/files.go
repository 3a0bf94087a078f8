package actions

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"
)

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// libraryDelimiter ends every value that go-githubactions writes; it is the same for all (v1.4.0, actions.go).
const libraryDelimiter = "_GitHubActionsFileCommandDelimeter_"

// Output sets an output of the step. Values have one line: one more could be a further output to the runner. Outside
// of a runner nothing is written.
func (r *Runner) Output(name, value string) (err error) {
	switch {
	case !outputName.MatchString(name):
		return fmt.Errorf("writing output %q: that is no output's name", name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("writing output %s: its value holds a line break or control character", name)
	case strings.Contains(value, libraryDelimiter):
		return fmt.Errorf("writing output %s: its value holds the runner's delimiter", name)
	case !r.inActions:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// The library panics where it cannot write.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("writing output %s: %v", name, p)
		}
	}()
	r.commands.SetOutput(name, value)
	return nil
}

// summaryLimit is below the 1 MiB above which the runner drops a whole summary (actions/runner FileCommandManager.cs).
const summaryLimit = 1_000_000

const summaryCut = "\n\n*The summary ends here, because it is too long for GitHub. The files in the build folder have the rest.*\n"

// Summary writes the step's summary anew, in place of what it was. It may be called again and again as a run goes on:
// the runner reads the file when the step has ended, also after a cancel. Outside of a runner nothing is written.
func (r *Runner) Summary(markdown string) error {
	if !r.inActions {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path := r.getenv("GITHUB_STEP_SUMMARY")
	if path == "" {
		return errors.New("writing the step summary: the runner named no file for it (GITHUB_STEP_SUMMARY)")
	}
	if err := overwrite(path, shortened(r.redacted(markdown))); err != nil {
		return fmt.Errorf("writing the step summary: %w", err)
	}
	return nil
}

// shortened cuts a summary behind a line, so that no row of a table is left half.
func shortened(markdown string) string {
	if len(markdown) < summaryLimit {
		return markdown
	}
	kept := markdown[:summaryLimit-len(summaryCut)-1]
	if end := strings.LastIndexByte(kept, '\n'); end > 0 {
		kept = kept[:end]
	}
	return strings.ToValidUTF8(kept, "") + summaryCut
}

// overwrite keeps the file itself, which is what the runner has mounted. The new text is there before the rest of an
// older, longer one goes, so that a process killed in between leaves no empty summary.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	return errors.Join(err, f.Close())
}
