package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// failuresShown limits the failures of a group that are shown with the end of their output. The first failuresOpen of them are not
// collapsed, so that the remedy of the next group is not far below.
const failuresShown, failuresOpen = 20, 5

// Remedy is what failures of a group have in common: their class, and what to do about them.
type Remedy struct {
	Class failure.Class
	Hint  string
}

// RemedyFor returns the remedy for a failure of a class with this message.
func RemedyFor(class failure.Class, message string) Remedy {
	return Remedy{class, failure.HintFor(class, message)}
}

// Remedies returns the remedies of groups of failures, that of the largest group first.
func Remedies[T any](groups map[Remedy][]T) []Remedy {
	return slices.SortedFunc(maps.Keys(groups), func(a, b Remedy) int {
		return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Hint, b.Hint))
	})
}

// failures lists the failed images by class and remedy, and then those that were cancelled or not started, in at most room bytes.
func failures(s ledger.Summary, room int) string {
	const overhead = 60_000 // bytes for headings, remedies and notes
	groups := map[Remedy][]ledger.FailedBuild{}
	var cancelled, notStarted []ledger.FailedBuild
	for _, f := range s.FailedBuilds {
		switch {
		case f.Class.NotStarted(f.AttemptCount):
			notStarted = append(notStarted, f)
		case f.Class == failure.ClassCancelled:
			cancelled = append(cancelled, f)
		default:
			r := RemedyFor(f.Class, f.Error)
			groups[r] = append(groups[r], f)
		}
	}
	order := Remedies(groups)
	room -= overhead
	var parts []string
	for i, r := range order {
		if i == maxGroups {
			parts = append(parts, fmt.Sprintf("… and %s.\n", plural(len(order)-i, "more group of failures", "more groups of failures")))
			break
		}
		var part string
		part, room = failureGroup(s, r, groups[r], room)
		parts = append(parts, part)
	}
	name := func(f ledger.FailedBuild) string { return code(f.InstanceID, shortValue) }
	names, room := fitRows(cancelled, room, name)
	later, _ := fitRows(notStarted, room, name)
	return joinParts([]string{
		joinParts(parts),
		details(plural(len(cancelled), "image was", "images were")+" cancelled", namesAndMore(names, len(cancelled))),
		details(plural(len(notStarted), "image was", "images were")+" not started", namesAndMore(later, len(notStarted))),
	})
}

// maxGroups limits the groups of failures. Usually there are a few; a merged record may have any class.
const maxGroups = 40

func namesAndMore(names []string, all int) string {
	return strings.Join(names, ", ") + andMore(all-len(names))
}

// failureGroup returns the failures that one remedy helps against, and the remaining room.
func failureGroup(s ledger.Summary, r Remedy, failed []ledger.FailedBuild, room int) (string, int) {
	first := failed[:min(failuresShown, len(failed))]
	// Without a part of the room for each line, the output of the first images would hide the last ones.
	shown, left := fitRows(first, room, func(f ledger.FailedBuild) string { return failureLine(s, f, true) })
	if len(shown) < len(first) {
		shown, left = fitRows(first, room, func(f ledger.FailedBuild) string { return failureLine(s, f, false) })
	}
	rest, left := fitRows(failed[len(shown):], left, func(f ledger.FailedBuild) string { return failureLine(s, f, false) })
	open := shown[:min(failuresOpen, len(shown))]
	more := slices.Concat(shown[len(open):], rest)
	heading, class := fmt.Sprintf("%d %s", len(failed), text(r.Class.Words(), shortValue)), ""
	if string(r.Class) != r.Class.Words() {
		class = " (" + code(string(r.Class), shortValue) + ")"
	}
	return section(heading, "**What to do:** "+text(r.Hint, longValue)+"."+class+"\n", strings.Join(open, ""),
		details(fmt.Sprintf("%d more", len(more)), strings.Join(more, "")), andMore(len(failed)-len(shown)-len(rest))), left
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

// failureLine returns the line of a failed image: what it is, its root cause first, and with output the end of what was printed.
func failureLine(s ledger.Summary, f ledger.FailedBuild, output bool) string {
	url, artifact := s.Run.URL, s.Run.Artifact
	all := []string{plural(f.AttemptCount, "attempt", "attempts")}
	if f.Shard != "" {
		all = append(all, "shard "+text(string(f.Shard), shortValue))
		if i := slices.IndexFunc(s.Run.Shards, func(one ledger.Shard) bool { return one.Shard == f.Shard }); i >= 0 {
			url, artifact = s.Run.Shards[i].URL, cmp.Or(artifact, s.Run.Shards[i].Artifact)
		}
	}
	if safeURL(url) != "" {
		all = append(all, link("run", url))
	}
	if f.LogPath != "" {
		all = append(all, "log "+logName(f.LogPath, artifact))
	}
	line := "- " + code(f.InstanceID, shortValue) + ": " + reason(f.Error) + "<br>" + strings.Join(all, " · ")
	if output {
		line += lastOutput(string(f.Output))
	}
	return line + "\n"
}

// logName says where a log is. In an artifact its folders mean nothing: the runner is gone.
func logName(path, artifact ledger.Text) string {
	if artifact == "" {
		return code(string(path), shortValue)
	}
	return fileName(path) + " in " + code(string(artifact), shortValue)
}

// reason shows an error with its root cause first.
func reason(message string) string {
	cause, about := failure.Cause(message)
	said := "<b>" + text(cause, longValue) + "</b>"
	if about != "" {
		said += " " + code(about, longValue)
	}
	return said
}

// lastOutput shows the end of a command's output, collapsed. Its lines wrap, so that a narrow page cuts nothing off.
func lastOutput(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if line = oneLine(line, shortValue); line != "" {
			lines = append(lines, code(line, shortValue))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "<details><summary>" + plural(len(lines), "last line", "last lines") + " of its output</summary>" + strings.Join(lines, "<br>") + "</details>"
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\n… and %d more, see %s.\n", n, code(ledger.FileName, shortValue))
}
