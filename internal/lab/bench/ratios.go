package bench

import (
	"fmt"
	"strings"
	"time"
)

// compare returns the table of rebase against the other ways, for each image and for a whole run.
func compare(rebase way, rivals []way, images int) table {
	t := table{header: []string{
		"Way", "Each image", "Rebase is faster", "Goal", fmt.Sprintf("%d images, all counted", images),
		"Rebase is faster", "Goal",
	}}
	whole := rebase.forImages(images)
	for i, r := range rivals {
		each, all := r.each.Seconds()/rebase.each.Seconds(), r.forImages(images).Seconds()/whole.Seconds()
		t.row(r.name, milliseconds(r.each), factor(each), goalOver(rivalWays[i].each, each),
			seconds(r.forImages(images)), factor(all), goalOver(rivalWays[i].at40, all))
	}
	t.row("rebase", milliseconds(rebase.each), "", "", seconds(whole), "", "")
	return t
}

// noteAgent adds the time of the image from which a copying way copies the agent. Rebase has paid for the agent
// already: the references build it.
func noteAgent(t *table, rebase, copying way, agent time.Duration, images int) {
	all := agent + copying.forImages(images)
	t.note("Not counted above: the image with the agent, from which P2 and P3 copy, took %s to build and push at a new commit; rebase's "+
		"references build the agent themselves. With it P3 takes %s for %d images, %s as long as rebase.",
		seconds(agent), seconds(all), images, factor(all.Seconds()/rebase.forImages(images).Seconds()))
}

// project adds the computed time of the whole benchmark in each way.
func project(t *table, ways []way) {
	const images = wholeBenchmark
	for _, w := range ways {
		t.note("Projection for %d images, %s: %s + %d x %s = %s.", images, w.name, seconds(w.once), images, milliseconds(w.each),
			w.forImages(images).Round(time.Second))
	}
}

// goalOver says whether something is more than goal times faster.
func goalOver(goal, got float64) string { return met(got > goal, fmt.Sprintf("over %gx", goal)) }

func met(is bool, goal string) string {
	if is {
		return goal + ": met"
	}
	return goal + ": **not met**"
}

func factor(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0fx", f)
	}
	return fmt.Sprintf("%.1fx", f)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// table is a Markdown table with notes below it.
type table struct {
	header []string
	rows   [][]string
	notes  []string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t table) String() string {
	var out strings.Builder
	line := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.header)
	line(strings.Split(strings.Repeat("---,", len(t.header)-1)+"---", ","))
	for _, row := range t.rows {
		line(row)
	}
	for _, n := range t.notes {
		fmt.Fprintf(&out, "\n%s\n", n)
	}
	return out.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// ratio returns a/b with two decimals.
func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds()) }
