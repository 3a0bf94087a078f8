// Package report presents a run: console lines, step summary, outputs, lock file, and the plan of a dry run.
package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// heartbeatInterval is the time between two progress lines in a log. Single images may take many minutes.
const heartbeatInterval = 60 * time.Second

// redrawInterval is the time between two updates of the bar on a terminal.
const redrawInterval = time.Second

// Console shows the progress of a run: a line for each image that ends, and a heartbeat line in a log or a bar on a terminal. It
// is safe for concurrent use.
type Console struct {
	logger Logger
	screen *Screen

	mu       sync.Mutex
	progress progress
	closed   bool
	bar      *bar // nil without a terminal
	done     chan struct{}
}

// Logger prints lines to the screen. It must sanitize them, because they contain output of builds.
type Logger interface{ Info(line string) }

// NewConsole returns the console of a run of total images, of which at most workers are built concurrently.
func NewConsole(logger Logger, screen *Screen, total, workers int) *Console {
	return &Console{
		logger: logger, screen: screen, done: make(chan struct{}),
		progress: progress{total: total, workers: workers, running: map[string]time.Time{}},
	}
}

// Started shows a target that got a slot.
func (c *Console) Started(t plan.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.start(t.InstanceID, time.Now())
	c.redraw()
}

// Stopped shows a target that gave its slot back, because it ended or has to wait.
func (c *Console) Stopped(t plan.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress.running, t.InstanceID)
	c.redraw()
}

// Finished shows a target that ended, even if it never started.
func (c *Console) Finished(o *outcome.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.finish(o)
	c.logger.Info(c.position() + " " + finishedLine(o))
	c.redraw()
}

// Waiting shows a target whose attempt failed and that is retried after wait.
func (c *Console) Waiting(t plan.Target, attempt int, err error, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.pause(t.InstanceID)
	c.logger.Info(fmt.Sprintf("%*s retry    %s  attempt %d failed, retrying in %s  %s: %s", len(c.position()), "", t.InstanceID,
		attempt, duration(wait.Seconds()), failure.ClassOf(err), oneLine(err.Error(), maxReasonInLog)))
	c.redraw()
}

// position returns the number of finished images and of all images: "[ 3/12]".
func (c *Console) position() string {
	return fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(c.progress.total)), c.progress.finished(), c.progress.total)
}

// Run prints heartbeats or shows the bar until ctx is done or the console is closed.
func (c *Console) Run(ctx context.Context) {
	every := heartbeatInterval
	if c.showBar() {
		every = redrawInterval
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.done:
			return
		case <-ticker.C:
			c.beat()
		}
	}
}

// showBar shows the bar if there is a terminal, and reports whether it did.
func (c *Console) showBar() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.bar = c.screen.show(c.progress.total)
	c.redraw()
	return c.bar != nil
}

// redraw updates the bar, if there is one.
func (c *Console) redraw() {
	if c.bar != nil {
		c.bar.set(c.progress.finished(), c.progress.rows(time.Now()))
	}
}

func (c *Console) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
	case c.bar != nil:
		c.redraw()
	default:
		c.logger.Info(c.progress.String(time.Now()))
	}
}

// Close stops the heartbeats and removes the bar.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.bar = true, nil
		close(c.done)
		c.screen.hide()
	}
}

// maxReasonInLog limits the error in a console line, in characters. The runner's live log cuts lines at 1024 characters
// (actions/runner, JobServerQueue.cs), and the path of the image's log comes after the error.
const maxReasonInLog = 300

func finishedLine(o *outcome.Outcome) string {
	took := o.Check + o.Build
	word := map[outcome.Status]string{outcome.Built: "built", outcome.Skipped: "skipped", outcome.Failed: "failed"}[o.Status()]
	if o.Status() == outcome.Built && o.Strategy == outcome.Rebase {
		word = "rebased"
	}
	line := fmt.Sprintf("%-7s  %s  %.1fs", word, o.Target.InstanceID, took.Seconds())
	if len(o.Attempts) > 1 {
		line += fmt.Sprintf("  %d attempts", len(o.Attempts))
	}
	if o.NotRebased != "" && o.Status() == outcome.Built {
		line += "  not rebased: " + oneLine(o.NotRebased, maxReasonInLog)
	}
	if o.Status() != outcome.Failed {
		return line
	}
	class, reason := failure.ClassUnknown, "the build succeeded but returned no tags"
	if o.Err != nil {
		class, reason = failure.ClassOf(o.Err), oneLine(o.Err.Error(), maxReasonInLog)
	}
	line += fmt.Sprintf("  %s: %s", class, reason)
	if o.LogPath != "" {
		line += "  log: " + o.LogPath
	}
	return line
}

// maxRunning limits the running images that a heartbeat names. It names those that have run longest.
const maxRunning = 3

// progress counts the images of a run.
type progress struct {
	total, workers         int
	built, skipped, failed int
	running                map[string]time.Time // start by instance
	waiting                map[string]bool      // instances that wait for a retry
	first                  time.Time            // start of the first build
	builtTime              time.Duration        // spent on all built images, including rebased ones
	rebased                int                  // number of built images that were rebased
	rebasedTime            time.Duration        // spent on the rebased images
}

func (p *progress) start(instance string, now time.Time) {
	p.running[instance] = now
	delete(p.waiting, instance)
	if p.first.IsZero() {
		p.first = now
	}
}

// pause marks an image that waits for a retry and has no slot.
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
		p.builtTime += took
		if o.Strategy == outcome.Rebase {
			p.rebased++
			p.rebasedTime += took
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

// rows returns the same texts as String, for the bar.
func (p *progress) rows(now time.Time) rows {
	return rows{
		before: fmt.Sprintf("%d of %d", p.finished(), p.total), after: p.left(now),
		below: [2]string{p.counts() + "; " + p.throughput(now), p.runningNow(now)},
	}
}

func (p *progress) counts() string {
	return fmt.Sprintf("%d built%s, %d skipped, %d failed", p.built, rebasedSuffix(p.rebased), p.skipped, p.failed)
}

func (p *progress) throughput(now time.Time) string {
	took := now.Sub(p.first)
	if p.built == 0 || took <= 0 {
		return "images per hour unknown"
	}
	return fmt.Sprintf("%.0f images per hour", float64(p.built)/took.Hours())
}

// left estimates the remaining time from the average time of the images built so far. It subtracts the time that running images
// have already taken, and divides by the number of workers.
func (p *progress) left(now time.Time) string {
	remaining := p.total - p.finished()
	if p.built == 0 && remaining > 0 {
		return "time left unknown"
	}
	if remaining <= 0 {
		return "nothing left"
	}
	each := p.builtTime / time.Duration(p.built)
	if p.rebased > 0 { // the remaining images will be rebased too, and references take longer
		each = p.rebasedTime / time.Duration(p.rebased)
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
		waiting = fmt.Sprintf("; %d waiting for a retry", len(p.waiting))
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
	for _, i := range images[:min(maxRunning, len(images))] {
		names = append(names, fmt.Sprintf("%s (%s)", i.instance, duration(i.age.Seconds())))
	}
	line := "running: " + strings.Join(names, ", ")
	if more := len(images) - len(names); more > 0 {
		line += fmt.Sprintf(" +%d more", more)
	}
	return line + waiting
}
