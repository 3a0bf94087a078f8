package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// endingLines is how many lines a run ends with at most.
const endingLines = 10

// Ending returns what a run ends with on a terminal, as at most ten lines of plain text: the verdict, the counts, what has changed since
// an earlier run, failures with their causes, what to do next, and the files.
func Ending(s ledger.Summary, c *ledger.Comparison) []string {
	// A variation selector would be left out as a character that nobody sees.
	verdict := strings.ReplaceAll(Headline(s), "⚠\ufe0f", "⚠")
	lines := []string{oneLine(verdict, shortValue), endingCounts(s)}
	if c != nil {
		lines = append(lines, fmt.Sprintf("Compared with the run of %s: %d newly built, %d newly failing",
			StartOf(c), len(c.NewlyBuilt), len(c.NewlyFailing)))
	}
	after := endingFiles(s.Run.Files)
	if s.Missing() > 0 || s.Run.TooManyEnvironmentsMissing() {
		again := "Next: run it again; it builds only what is missing."
		if s.Run.SetupError != "" {
			again = "Next: do what the hint says, then run it again."
		} else if s.Missing() > 0 && s.Run.Files.Failed != "" {
			again = "Next: run it again, or for the missing images alone with --instances-file " + string(s.Run.Files.Failed)
		}
		after = append([]string{again}, after...)
	}
	middle := slices.Concat(endingFailures(s), endingEnvironments(s.Run.EvalEnv), endingVerified(s.Run.Rebase.Verified))
	if room := endingLines - len(lines) - len(after); len(middle) > room {
		more := fmt.Sprintf("  … and %d more, see %s", len(middle)-room+1, ledger.FileName)
		middle = append(middle[:room-1], more)
	}
	return append(append(lines, middle...), after...)
}

func endingCounts(s ledger.Summary) string {
	counts := append(countsOf(s), duration(s.WallClockSeconds))
	if s.Run.SDKRef != "" {
		sdk := "SDK " + s.Run.SDKRef
		if commit := commitOf(s.Run); commit != "" {
			sdk += " (" + commit + ")"
		}
		counts = append(counts, sdk)
	}
	if s.Run.Image != "" {
		counts = append(counts, s.Run.Image)
	}
	return strings.Join(counts, ", ")
}

// endingFailures has a line for each failed image that was begun.
func endingFailures(s ledger.Summary) (lines []string) {
	for _, f := range s.FailedBuilds {
		if f.Class.NotStarted(f.AttemptCount) {
			continue
		}
		lines = append(lines, endingFailure(f.InstanceID, f.Class, f.Error, f.LogPath))
	}
	return lines
}

func endingFailure(name string, class failure.Class, message string, log ledger.Text) string {
	cause, about := failure.Cause(message)
	line := fmt.Sprintf("%s%s: %s: %s", failedMark, name, class.Words(), oneLine(cause, shortValue))
	if about != "" {
		line += " (" + oneLine(about, shortValue) + ")"
	}
	if log != "" {
		line += ", log " + string(log)
	}
	return line
}

// endingEnvironments has a line for the missing environment images, and one for each that failed.
func endingEnvironments(e *ledger.EvalEnv) (lines []string) {
	if e == nil || e.Missing() == 0 {
		return nil
	}
	lines = append(lines, failedMark+missingOf(e.Missing(), plural(e.Planned, "environment image", "environment images")))
	for _, image := range e.Images {
		if image.Status == outcome.Failed {
			lines = append(lines, endingFailure(image.Name, failure.Class(image.Class), string(image.Error), image.LogPath))
		}
	}
	return lines
}

// endingVerified says what came of comparisons with native builds.
func endingVerified(all []ledger.Verified) (lines []string) {
	for _, v := range all {
		if v.Result == ledger.VerifiedOK {
			lines = append(lines, "✅ "+oneLine(v.Instance, shortValue)+" is equal to a native build of it")
			continue
		}
		lines = append(lines, failedMark+oneLine(v.Instance+" is "+string(v.Result)+": "+strings.Join(v.Differences, "; "), longValue))
	}
	return lines
}

func endingFiles(f ledger.Files) (lines []string) {
	for _, file := range []struct{ name, path string }{
		{"Report", string(f.Report)}, {"Ledger", string(f.Ledger)}, {"Lock file", string(f.LockFile)}, {"Logs", string(f.Logs)},
	} {
		if file.path != "" {
			lines = append(lines, fmt.Sprintf("%-10s %s", file.name+":", file.path))
		}
	}
	return lines
}
