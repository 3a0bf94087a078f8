package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// runningShown is how many of the running images a heartbeat names: those that run longest.
const runningShown = 3

// progress is how far a run is.
type progress struct {
	total, workers         int
	built, skipped, failed int
	running                map[string]time.Time // start by instance
	waiting                map[string]bool      // instances between two attempts
	first                  time.Time            // start of the first build
	making                 time.Duration        // spent on the built images, all added up
	rebased                int                  // of the built ones
	rebasing               time.Duration        // spent on these
}

func (p *progress) start(instance string, now time.Time) {
	p.running[instance] = now
	delete(p.waiting, instance)
	if p.first.IsZero() {
		p.first = now
	}
}

// pause is an image that is tried again later; it holds no worker until then.
func (p *progress) pause(instance string) {
	delete(p.running, instance)
	if p.waiting == nil {
		p.waiting = map[string]bool{}
	}
	p.waiting[instance] = true
}

func (p *progress) finish(o *outcome.Outcome) {
	delete(p.running, o.Target.InstanceID)
	delete(p.waiting, o.Target.InstanceID)
	switch o.Status() {
	case outcome.Built:
		p.built++
		took := o.Check + o.Build
		p.making += took
		if o.Strategy == outcome.Rebase {
			p.rebased++
			p.rebasing += took
		}
	case outcome.Skipped:
		p.skipped++
	default:
		p.failed++
	}
}

func (p *progress) finished() int { return p.built + p.skipped + p.failed }

func (p *progress) String(now time.Time) string {
	return fmt.Sprintf("%d of %d done: %s; %s; %s; %s", p.finished(), p.total, p.counts(), p.throughput(now), p.left(now), p.runningNow(now))
}

// rows say the same around and below a bar.
func (p *progress) rows(now time.Time) rows {
	return rows{
		before: fmt.Sprintf("%d of %d", p.finished(), p.total), after: p.left(now),
		below: [2]string{p.counts() + "; " + p.throughput(now), p.runningNow(now)},
	}
}

func (p *progress) counts() string {
	return fmt.Sprintf("%d built%s, %d skipped, %d failed", p.built, ofThemRebased(p.rebased), p.skipped, p.failed)
}

func (p *progress) throughput(now time.Time) string {
	took := now.Sub(p.first)
	if p.built == 0 || took <= 0 {
		return "images per hour unknown"
	}
	return fmt.Sprintf("%.0f images per hour", float64(p.built)/took.Hours())
}

// left estimates from the images built so far: what is still to make, less what the running ones have behind them,
// shared by the workers. Before the first built image there is nothing to go by.
func (p *progress) left(now time.Time) string {
	remaining := p.total - p.finished()
	if p.built == 0 && remaining > 0 {
		return "time left unknown"
	}
	if remaining <= 0 {
		return "nothing left"
	}
	each := p.making / time.Duration(p.built)
	if p.rebased > 0 { // what comes after the references is like these, not like the references
		each = p.rebasing / time.Duration(p.rebased)
	}
	work := each * time.Duration(max(0, remaining-len(p.running)))
	for _, start := range p.running {
		work += max(0, each-now.Sub(start))
	}
	left := work / time.Duration(max(1, min(p.workers, remaining)))
	if left < time.Minute {
		return "less than 1m left"
	}
	return "about " + strings.TrimSuffix(duration(left.Round(time.Minute).Seconds()), " 00s") + " left"
}

func (p *progress) runningNow(now time.Time) string {
	waiting := ""
	if len(p.waiting) > 0 {
		waiting = fmt.Sprintf("; %d waiting to be tried again", len(p.waiting))
	}
	if len(p.running) == 0 {
		return "none running" + waiting
	}
	type image struct {
		instance string
		age      time.Duration
	}
	var images []image
	for instance, start := range p.running {
		images = append(images, image{instance, now.Sub(start)})
	}
	slices.SortFunc(images, func(a, b image) int {
		return cmp.Or(cmp.Compare(b.age, a.age), strings.Compare(a.instance, b.instance))
	})
	var names []string
	for _, i := range images[:min(runningShown, len(images))] {
		names = append(names, fmt.Sprintf("%s (%s)", i.instance, duration(i.age.Seconds())))
	}
	line := "running: " + strings.Join(names, ", ")
	if more := len(images) - len(names); more > 0 {
		line += fmt.Sprintf(" +%d more", more)
	}
	return line + waiting
}
