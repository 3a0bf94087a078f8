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

// failuresShown limits the failures in the first table. The others are collapsed, so that readers find the parts below.
const failuresShown = 20

var failureHeader = []string{"Instance", "Class", "Code", "Attempts", "Reason and log"}

// failures lists the failed images, and then those that were cancelled or not started, in at most room bytes.
func failures(s ledger.Summary, room int) string {
	const overhead = 8000 // bytes for headings, table headers, notes and hints
	var failed, cancelled, notStarted []ledger.FailedBuild
	for _, f := range s.FailedBuilds {
		switch f.Class {
		case failure.ClassCancelled:
			cancelled = append(cancelled, f)
		case failure.ClassNotStarted:
			notStarted = append(notStarted, f)
		default:
			failed = append(failed, f)
		}
	}
	logs := string(s.Run.Files.Logs)
	rows, room := fitRows(failed, room-overhead, func(f ledger.FailedBuild) string { return failureRow(f, logs) })
	name := func(f ledger.FailedBuild) string { return code(f.InstanceID, shortValue) }
	names, room := fitRows(cancelled, room, name)
	later, _ := fitRows(notStarted, room, name)
	first := min(failuresShown, len(rows))
	return joinParts([]string{
		section("Failed images", failureNote(s), hints(failed), failureTable(rows[:first]),
			details(fmt.Sprintf("%d more failed images", len(rows)-first), failureTable(rows[first:])),
			andMore(len(failed)-len(rows), s.Run.Files)),
		details(plural(len(cancelled), "image was", "images were")+" cancelled",
			strings.Join(names, ", ")+andMore(len(cancelled)-len(names), s.Run.Files)),
		details(plural(len(notStarted), "image was", "images were")+" not started",
			strings.Join(later, ", ")+andMore(len(notStarted)-len(later), s.Run.Files)),
	})
}

// fitRows formats images with show until room bytes are used up. It returns the rows and the remaining room.
func fitRows(images []ledger.FailedBuild, room int, show func(ledger.FailedBuild) string) ([]string, int) {
	var rows []string
	for _, f := range images {
		row := show(f)
		size := len(row) + len(", ")
		if size > room {
			break
		}
		rows, room = append(rows, row), room-size
	}
	return rows, room
}

// failureRow returns a row of the table of failures. The log is relative to the folder logs, to keep the table narrow.
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

func andMore(n int, f ledger.Files) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\n… and %d more, see %s.\n", n, code(cmp.Or(string(f.Ledger), ledger.FileName), shortValue))
}

// failureNote counts the failures by class and says where the logs are.
func failureNote(s ledger.Summary) string {
	if s.Failed == s.Cancelled {
		return ""
	}
	var sentences []string
	if classes := byClass(s.FailuresByClass); len(classes) > 1 {
		sentences = append(sentences, "By class: "+strings.Join(classes, ", ")+".")
	}
	if s.Run.Files.Logs != "" {
		sentences = append(sentences, "Logs are in "+code(string(s.Run.Files.Logs), shortValue)+". Code is the return code of the failed command.")
	}
	return strings.Join(sentences, " ") + "\n"
}

func byClass(counts map[failure.Class]int) []string {
	var shown []string
	for _, class := range classes(counts) {
		shown = append(shown, fmt.Sprintf("%s %d", text(string(class), shortValue), counts[class]))
	}
	return shown
}

// classes returns the sorted classes of the failures, without those that need no explanation.
func classes(counts map[failure.Class]int) []failure.Class {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), untried)
}

// untried reports whether a class is that of images that nothing is known to be wrong with.
func untried(c failure.Class) bool {
	return c == failure.ClassCancelled || c == failure.ClassNotStarted
}

// hints returns the hints for the failures, by class.
func hints(failed []ledger.FailedBuild) string {
	told := map[string]bool{}
	for _, f := range failed {
		told[fmt.Sprintf("- What to do about %s: %s.\n", text(string(f.Class), shortValue), text(failure.HintFor(f.Class, f.Error), longValue))] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(told)), "")
}
