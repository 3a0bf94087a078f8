package actions

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"
)

var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// libraryDelimiter ends every value that go-githubactions writes (v1.4.0, actions.go).
const libraryDelimiter = "_GitHubActionsFileCommandDelimeter_"

// Output sets an output of the step. Outside of a runner nothing is written.
func (r *Runner) Output(name, value string) error {
	return r.writeValue("writing output", "GITHUB_OUTPUT", name, value, r.commands.SetOutput)
}

// SaveState saves a value for the action's post step, which reads it with State. Outside of a runner nothing is written.
func (r *Runner) SaveState(name, value string) error {
	return r.writeValue("saving state", "GITHUB_STATE", name, value, r.commands.SaveState)
}

// writeValue writes a value to the runner's file that a variable names. A value has one line, because the runner could read a second
// line as another value.
func (r *Runner) writeValue(doing, variable, name, value string, write func(name, value string)) (err error) {
	switch {
	case !valueName.MatchString(name):
		return fmt.Errorf("%s %q: not a name that the runner takes", doing, name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("%s %s: its value contains a line break or control character", doing, name)
	case strings.Contains(value, libraryDelimiter):
		return fmt.Errorf("%s %s: its value contains the runner's delimiter", doing, name)
	case !r.inActions:
		return nil
	case r.getenv(variable) == "":
		return fmt.Errorf("%s %s: the runner set no file for it (%s)", doing, name, variable)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// The library panics when it cannot write.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s %s: %v", doing, name, p)
		}
	}()
	write(name, value)
	return nil
}

// State returns the value that an earlier part of the step saved, or "".
func (r *Runner) State(name string) string { return r.getenv("STATE_" + name) }

// summaryLimit is below 1 MiB: the runner drops a longer summary (actions/runner FileCommandManager.cs).
const summaryLimit = 1_000_000

const summaryCut = "\n\n*The summary ends here, because it is too long for GitHub. The files in the build folder have the rest.*\n"

// Summary replaces the step's summary. It may be called repeatedly during a run: the runner reads the file when the step
// has ended, also after a cancel. Outside of a runner nothing is written.
func (r *Runner) Summary(markdown string) error {
	if !r.inActions {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path := r.getenv("GITHUB_STEP_SUMMARY")
	if path == "" {
		return errors.New("writing the step summary: the runner set no file for it (GITHUB_STEP_SUMMARY)")
	}
	if err := overwrite(path, truncateSummary(r.redact(markdown))); err != nil {
		return fmt.Errorf("writing the step summary: %w", err)
	}
	return nil
}

// truncateSummary cuts a summary after a complete line, so that the last row of a table is complete.
func truncateSummary(markdown string) string {
	if len(markdown) < summaryLimit {
		return markdown
	}
	kept := markdown[:summaryLimit-len(summaryCut)-1]
	if end := strings.LastIndexByte(kept, '\n'); end > 0 {
		kept = kept[:end]
	}
	return strings.ToValidUTF8(kept, "") + summaryCut
}

// overwrite writes into the existing file, because the runner has mounted that file. It truncates after it has written, so
// that a process killed in between leaves no empty summary.
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
