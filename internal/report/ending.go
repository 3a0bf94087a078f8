package report

import (
	"fmt"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
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
	if s.Missing() > 0 {
		again := "Next: run it again; it builds only what is missing."
		if s.Run.SetupError != "" {
			again = "Next: do what the hint says, then run it again."
		} else if s.Run.Files.Failed != "" {
			again = "Next: run it again, or for the missing images alone with --instances-file " + string(s.Run.Files.Failed)
		}
		after = append([]string{again}, after...)
	}
	middle := append(endingFailures(s), endingVerified(s.Run.Rebase.Verified)...)
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
		cause, about := failure.Cause(f.Error)
		line := fmt.Sprintf("%s%s: %s: %s", failedMark, f.InstanceID, f.Class.Words(), oneLine(cause, shortValue))
		if about != "" {
			line += " (" + oneLine(about, shortValue) + ")"
		}
		if f.LogPath != "" {
			line += ", log " + string(f.LogPath)
		}
		lines = append(lines, line)
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
