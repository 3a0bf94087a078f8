package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// failuresInSight is how many failures are shown at once; the others are folded, so that what comes after them can
// still be found.
const failuresInSight = 20

var failureHeader = []string{"Instance", "Class", "Code", "Tries", "Reason and log"}

// failures lists the images that failed, then those that the end of the run stopped, in at most room bytes.
func failures(s ledger.Summary, room int) string {
	const frame = 8000 // headings, table headers, notes, a hint for each class
	var failed, cancelled []ledger.FailedBuild
	for _, f := range s.FailedBuilds {
		if f.Class == failure.ClassCancelled {
			cancelled = append(cancelled, f)
		} else {
			failed = append(failed, f)
		}
	}
	logs := string(s.Run.Files.Logs)
	rows, room := fitting(failed, room-frame, func(f ledger.FailedBuild) string { return failureRow(f, logs) })
	names, _ := fitting(cancelled, room, func(f ledger.FailedBuild) string { return code(f.InstanceID, shortValue) })
	first := min(failuresInSight, len(rows))
	return join([]string{
		section("Failed images", note(s), hints(s.FailuresByClass), failureTable(rows[:first]),
			folded(fmt.Sprintf("%d more failed images", len(rows)-first), failureTable(rows[first:])),
			more(len(failed)-len(rows), s.Run.Files)),
		folded(plural(len(cancelled), "image was", "images were")+" cancelled",
			strings.Join(names, ", ")+more(len(cancelled)-len(names), s.Run.Files)),
	})
}

// fitting shows as many images, from the first, as fit in room bytes, and gives the room that is left.
func fitting(images []ledger.FailedBuild, room int, show func(ledger.FailedBuild) string) ([]string, int) {
	var shown []string
	for _, f := range images {
		one := show(f)
		size := len(one) + len(", ")
		if size > room {
			break
		}
		shown, room = append(shown, one), room-size
	}
	return shown, room
}

// failureRow names the log without the folder in which all logs are: the table is wide enough.
func failureRow(f ledger.FailedBuild, logs string) string {
	returned := ""
	if f.ReturnCode != nil {
		returned = strconv.Itoa(*f.ReturnCode)
	}
	reason := text(f.Error, longValue)
	if f.LogPath != "" {
		reason += "<br>" + code(strings.TrimPrefix(string(f.LogPath), logs+"/"), shortValue)
	}
	return "| " + strings.Join([]string{
		code(f.InstanceID, shortValue), text(string(f.Class), shortValue), returned, strconv.Itoa(f.AttemptCount), reason,
	}, " | ") + " |\n"
}

func failureTable(rows []string) string {
	if len(rows) == 0 {
		return ""
	}
	return "| " + strings.Join(failureHeader, " | ") + " |\n" + strings.Repeat("| --- ", len(failureHeader)) + "|\n" + strings.Join(rows, "")
}

func more(n int, f ledger.Files) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\n… and %d more, see %s.\n", n, code(cmp.Or(string(f.Ledger), ledger.FileName), shortValue))
}

// note comes before the failures: how many there are by what helps against them, and where the logs are.
func note(s ledger.Summary) string {
	if s.Failed == s.Cancelled {
		return ""
	}
	var said []string
	if classes := byClass(s.FailuresByClass); len(classes) > 1 {
		said = append(said, "By class: "+strings.Join(classes, ", ")+".")
	}
	if s.Run.Files.Logs != "" {
		said = append(said, "Logs are in "+code(string(s.Run.Files.Logs), shortValue)+". Code is the failed command's return code.")
	}
	return strings.Join(said, " ") + "\n"
}

func byClass(counts map[failure.Class]int) []string {
	var shown []string
	for _, class := range classes(counts) {
		shown = append(shown, fmt.Sprintf("%s %d", text(string(class), shortValue), counts[class]))
	}
	return shown
}

// classes are the failures' classes, sorted; a cancel explains itself.
func classes(counts map[failure.Class]int) []failure.Class {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(c failure.Class) bool { return c == failure.ClassCancelled })
}

// hints say once for each class what to do.
func hints(counts map[failure.Class]int) string {
	var said []string
	for _, class := range classes(counts) {
		said = append(said, fmt.Sprintf("- What to do about %s: %s.\n", text(string(class), shortValue), text(failure.Hint(class), longValue)))
	}
	return strings.Join(said, "")
}
