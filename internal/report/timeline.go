package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// timeline says what limited the run, and draws it.
func timeline(s ledger.Summary, entries []ledger.Entry) string {
	sentence := Limit(s, entries)
	if sentence != "" {
		sentence += "\n"
	}
	return section("Timeline", sentence, gantt(s, entries))
}

// The picture has at most so many bars of each kind, 40 in all: more cannot be read.
const (
	maxPartBars      = 12 // phases, or shards
	maxReferenceBars = 4
	maxFailedBars    = 12
	maxSlowestBars   = 8
)

// ganttBar is a bar of the picture.
type ganttBar struct {
	label   string
	state   string // its colour: "crit", "active", "done", or empty
	begin   time.Time
	seconds float64
	worked  float64 // all work on it in seconds, of which the bar may show a part
}

func (b ganttBar) end() time.Time {
	return b.begin.Add(time.Duration(b.seconds * float64(time.Second)))
}

// gantt draws the phases and the images that mattered as a Gantt chart of Mermaid, which GitHub shows as a picture
// (https://mermaid.js.org/syntax/gantt.html). It is empty when no image was worked on.
func gantt(s ledger.Summary, entries []ledger.Entry) string {
	references := map[string]bool{}
	for _, r := range s.Run.Rebase.References {
		references[string(r.Instance)] = !r.Reused
	}
	var learned, failed, made []ganttBar
	for _, e := range entries {
		switch {
		case e.Status == outcome.Skipped, failure.Class(e.ErrorClass).Untried(), len(stretches(e)) == 0:
		case e.Status == outcome.Failed:
			failed = append(failed, imageBar(e, "✗", "crit"))
		case references[e.InstanceID]:
			learned = append(learned, imageBar(e, "✓", "active"))
		default:
			made = append(made, imageBar(e, "✓", ""))
		}
	}
	if len(learned)+len(failed)+len(made) == 0 || s.StartedAt.IsZero() {
		return ""
	}
	phases, shownLearned, shownFailed, slowest := parts(s), longest(learned, maxReferenceBars), longest(failed, maxFailedBars), longest(made, maxSlowestBars)
	var shown []string
	if n := len(shownLearned); n > 0 {
		shown = append(shown, ofAll(n, len(learned), "reference (light)", "references (light)"))
	}
	if n := len(shownFailed); n > 0 {
		shown = append(shown, ofAll(n, len(failed), "failed image (red)", "failed images (red)"))
	}
	if n := len(slowest); n > 0 {
		shown = append(shown, "the slowest images")
	}
	note := "Shown: " + strings.Join(shown, ", ") + "."
	if s.Run.Files.Report != "" {
		note += " All are in " + fileName(s.Run.Files.Report) + "."
	}
	return drawn(s, slices.Concat(phases, shownLearned, shownFailed, slowest)) + "\n" + note + "\n"
}

// ofAll says how many of all are shown.
func ofAll(shown, all int, one, many string) string {
	if shown < all {
		return fmt.Sprintf("%d of %s", shown, plural(all, one, many))
	}
	return plural(all, one, many)
}

// parts are the phases of a run, or the shards of a merged one, whose phases lie side by side.
func parts(s ledger.Summary) (bars []ganttBar) {
	for _, one := range s.Run.Shards {
		if one.StartedAt == nil {
			continue
		}
		mark := "✓"
		if one.Incomplete() {
			mark = "✗"
		}
		bars = append(bars, newGanttBar(mark, "shard "+string(one.Shard), "done", *one.StartedAt, one.Seconds))
	}
	for _, p := range s.Run.Phases {
		mark := "•"
		if p.Within != "" {
			mark = "↳"
		}
		// What takes less than a hundredth of the run cannot be seen.
		if p.StartedAt != nil && s.Run.MergedFrom == 0 && p.Seconds >= s.WallClockSeconds/100 {
			bars = append(bars, newGanttBar(mark, p.Name, "done", *p.StartedAt, p.Seconds))
		}
	}
	return longest(bars, maxPartBars)
}

// longest returns the n bars with most work, in the order in which they begin.
func longest(bars []ganttBar, n int) []ganttBar {
	slices.SortStableFunc(bars, func(a, b ganttBar) int { return cmp.Compare(b.worked, a.worked) })
	bars = bars[:min(n, len(bars))]
	slices.SortStableFunc(bars, func(a, b ganttBar) int { return a.begin.Compare(b.begin) })
	return bars
}

// imageBar is the longest time in which an image did not wait for others, with the time of all work on it. A retry's wait is its own.
func imageBar(e ledger.Entry, mark, state string) ganttBar {
	best := slices.MaxFunc(stretches(e), func(a, b ganttBar) int { return cmp.Compare(a.seconds, b.seconds) })
	took := best.seconds
	if e.DurationSeconds != nil {
		took = *e.DurationSeconds
	}
	_, name, found := strings.Cut(e.InstanceID, "__")
	if !found {
		name = e.InstanceID
	}
	b := newGanttBar(mark, name, state, best.begin, took)
	b.seconds = best.seconds
	return b
}

// stretches are the times in which an image did not wait for others, without gaps.
func stretches(e ledger.Entry) (all []ganttBar) {
	if len(e.Spans) == 0 && e.StartedAt != nil && e.FinishedAt != nil { // an older version's entry
		return []ganttBar{{begin: *e.StartedAt, seconds: e.FinishedAt.Sub(*e.StartedAt).Seconds()}}
	}
	waited := true
	for _, span := range e.Spans {
		switch {
		case outcome.Waits(span.Phase) && span.Phase != outcome.WaitingToRetry:
			waited = true
		case waited:
			all, waited = append(all, ganttBar{begin: span.StartedAt, seconds: span.Seconds}), false
		default:
			all[len(all)-1].seconds += span.Seconds
		}
	}
	return all
}

// maxGanttName limits a name in the picture, in characters. Ids differ in their last ones.
const maxGanttName = 18

// newGanttBar is a bar with a label of mark, name and time. Mermaid takes colons, semicolons, hashes, percent signs and more for syntax,
// and knows no way to escape all of them, so that only harmless characters stay. At the begin of a line it looks for its keywords, and
// finds the mark.
func newGanttBar(mark, name, state string, begin time.Time, seconds float64) ganttBar {
	runes := []rune(strings.Map(func(r rune) rune {
		if isAlphanumeric(r) || strings.ContainsRune("._-/ ", r) {
			return r
		}
		return '·'
	}, oneLine(name, shortValue)))
	if len(runes) > maxGanttName {
		end := maxGanttName / 2
		runes = slices.Concat(runes[:maxGanttName-end-1], []rune("…"), runes[len(runes)-end:])
	}
	took := duration(seconds)
	if seconds >= 3600 { // seconds would need more room
		took = took[:strings.LastIndexByte(took, ' ')]
	}
	return ganttBar{mark + " " + string(runes) + ", " + took, state, begin, seconds, seconds}
}

// ticks are distances between the marks of the axis, in seconds, and how Mermaid calls them.
var ticks = []struct {
	seconds float64
	name    string
}{
	{1, "1second"},
	{5, "5second"},
	{10, "10second"},
	{15, "15second"},
	{30, "30second"},
	{60, "1minute"},
	{120, "2minute"},
	{300, "5minute"},
	{600, "10minute"},
	{900, "15minute"},
	{1800, "30minute"},
	{3600, "1hour"},
	{2 * 3600, "2hour"},
	{3 * 3600, "3hour"},
	{6 * 3600, "6hour"},
	{12 * 3600, "12hour"},
	{24 * 3600, "1day"},
	{7 * 24 * 3600, "1week"},
}

// mostTicks is how many marks have room for their text on a telephone.
const mostTicks = 4

// ganttDay is the day on which every run begins at midnight in its picture, so that the axis shows the time since then. Times have no
// zone: Mermaid reads and shows them in that of the browser.
var ganttDay = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// ganttHead sets the picture's layout. Without a column for titles, and with room for a label beside the last bar, nothing is cut off on
// a telephone.
const ganttHead = "```mermaid\n---\nconfig:\n  gantt: {leftPadding: 24, rightPadding: 190, barHeight: 16, barGap: 3, fontSize: 10}\n---\n" +
	"gantt\n  dateFormat YYYY-MM-DD HH:mm:ss.SSS\n  todayMarker off"

// drawn writes the picture.
func drawn(s ledger.Summary, bars []ganttBar) string {
	last := s.FinishedAt
	for _, b := range bars {
		if b.end().After(last) {
			last = b.end()
		}
	}
	total := last.Sub(s.StartedAt).Seconds()
	tick := ticks[len(ticks)-1]
	for _, one := range ticks {
		if total/one.seconds <= mostTicks {
			tick = one
			break
		}
	}
	axis := "%-Mm %Ss"
	switch {
	case total >= 24*3600:
		axis = "day %-d, %-Hh"
	case total >= 3600:
		axis = "%-Hh %Mm"
	}
	lines := []string{ganttHead, "  axisFormat " + axis, "  tickInterval " + tick.name}
	for _, b := range bars {
		state := ""
		if b.state != "" {
			state = b.state + ", "
		}
		begin := ganttDay.Add(b.begin.Sub(s.StartedAt)).Format("2006-01-02 15:04:05.000")
		length := max(b.seconds, total/300) // what is shorter cannot be seen
		lines = append(lines, fmt.Sprintf("  %s :%s%s, %dms", b.label, state, begin, int(length*1000)))
	}
	return strings.Join(append(lines, "```"), "\n") + "\n"
}
