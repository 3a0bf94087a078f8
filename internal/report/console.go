// Package report presents a run: console lines, step summary, outputs, lock file, and the plan of a dry run.
package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"

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
	return &Console{logger: logger, screen: screen, done: make(chan struct{}), progress: newProgress(total, workers)}
}

// Restart counts other images from now on, total in all. Those before have ended.
func (c *Console) Restart(total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress = newProgress(total, c.progress.workers)
	if c.bar != nil {
		c.screen.hide()
		c.bar = c.screen.show(total)
		c.redraw()
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

// Doing shows what a target does or waits for outside of builds. layer is the digest of a layer that it brings to the repository. An
// empty text ends it.
func (c *Console) Doing(t plan.Target, what, layer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress.doing, t.InstanceID)
	if what != "" {
		c.progress.doing[t.InstanceID] = activity{what, layer}
	}
}

// Copying shows how many bytes of a layer were copied. size is -1 when it is not known.
func (c *Console) Copying(layer string, done, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if copied, known := c.progress.copies[layer]; known && done > 0 {
		now = copied.begun
	}
	c.progress.copies[layer] = layerCopy{now, done, size}
	if done == size {
		delete(c.progress.copies, layer)
	}
}

// Pausing shows that a registry asked to wait.
func (c *Console) Pausing(host string, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.pauses[host] = time.Now().Add(wait)
}

// Began shows a phase of the run until Ended.
func (c *Console) Began(phase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.phases[phase] = time.Now()
}

// Ended ends a phase.
func (c *Console) Ended(phase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress.phases, phase)
}

// Finished shows a target that ended. Those that the end of the run kept from starting have no line of their own, only a count.
func (c *Console) Finished(o *outcome.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.finish(o)
	if endOf(o) != unstarted {
		c.logger.Info(c.position() + " " + finishedLine(o))
	}
	c.redraw()
}

// Unfinished says how many images the end of the run has cut off, or kept from starting.
func (c *Console) Unfinished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.progress.cutOff+c.progress.notStarted > 0 {
		c.logger.Info(fmt.Sprintf("%d of %d images have ended: %s", c.progress.finished(), c.progress.total, c.progress.counts()))
	}
}

// unstarted is what the end of the run did to a target of which no attempt was made.
const unstarted = "not started"

// endOf returns what the end of the run did to a target, or "".
func endOf(o *outcome.Outcome) string {
	switch class := failure.ClassOf(o.Err); {
	case o.Status() != outcome.Failed:
		return ""
	case class.NotStarted(len(o.Attempts)):
		return unstarted
	case class == failure.ClassCancelled:
		return "cancelled"
	case class == failure.ClassDeadline:
		return "stopped"
	}
	return ""
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
	word := map[outcome.Status]string{outcome.Built: "built", outcome.Skipped: "existed", outcome.Failed: "failed"}[o.Status()]
	if o.Status() == outcome.Built && o.Strategy == outcome.Rebase {
		word = "rebased"
	}
	word = cmp.Or(endOf(o), word)
	line := fmt.Sprintf("%-7s  %s  %.1fs", word, o.Target.InstanceID, o.Worked().Seconds())
	if len(o.Attempts) > 1 {
		line += fmt.Sprintf("  %d attempts", len(o.Attempts))
	}
	if o.NotRebased != "" && o.Status() == outcome.Built {
		line += "  not rebased: " + oneLine(o.NotRebased, maxReasonInLog)
	}
	switch {
	case o.Status() != outcome.Failed:
		return line
	case !failure.ByEnd(o.Err): // its annotation has the reason
		return line + "  " + string(cmp.Or(failure.ClassOf(o.Err), failure.ClassUnknown))
	}
	line += fmt.Sprintf("  %s: %s", failure.ClassOf(o.Err), oneLine(o.Err.Error(), maxReasonInLog))
	if o.LogPath != "" {
		line += "  log: " + o.LogPath
	}
	return line
}

// maxRunning limits the running images, and the copies, that a heartbeat names. It names those that have run longest.
const maxRunning = 3

// activity is what an image does or waits for outside of builds.
type activity struct {
	what  string
	layer string // that it brings to the repository
}

// layerCopy is a layer that is copied because the registry does not mount it. size is -1 when it is not known.
type layerCopy struct {
	begun      time.Time
	done, size int64
}

// progress counts the images of a run.
type progress struct {
	total, workers         int
	built, skipped, failed int
	cutOff, notStarted     int                  // by the end of the run
	running                map[string]time.Time // start by instance
	waiting                map[string]bool      // instances that wait for a retry
	doing                  map[string]activity  // by instance; one that is running has none
	copies                 map[string]layerCopy // by digest
	pauses                 map[string]time.Time // end of the pause that a registry asked for, by host
	phases                 map[string]time.Time // start of the phases of the run that have not ended
	first                  time.Time            // start of the first build
	builtTime              time.Duration        // spent on all built images, including rebased ones
	rebased                int                  // number of built images that were rebased
	rebasedTime            time.Duration        // spent on the rebased images
}

func newProgress(total, workers int) progress {
	return progress{
		total: total, workers: workers, running: map[string]time.Time{}, phases: map[string]time.Time{},
		doing: map[string]activity{}, copies: map[string]layerCopy{}, pauses: map[string]time.Time{},
	}
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
	delete(p.doing, instance)
	if p.waiting == nil {
		p.waiting = map[string]bool{}
	}
	p.waiting[instance] = true
}

func (p *progress) finish(o *outcome.Outcome) {
	delete(p.running, o.Target.InstanceID)
	delete(p.waiting, o.Target.InstanceID)
	delete(p.doing, o.Target.InstanceID)
	switch end := endOf(o); {
	case end == unstarted:
		p.notStarted++
		return
	case end != "":
		p.cutOff++
		return
	}
	switch o.Status() {
	case outcome.Built:
		p.built++
		p.builtTime += o.Worked()
		if o.Strategy == outcome.Rebase {
			p.rebased++
			p.rebasedTime += o.Worked()
		}
	case outcome.Skipped:
		p.skipped++
	default:
		p.failed++
	}
}

func (p *progress) finished() int { return p.built + p.skipped + p.failed + p.cutOff }

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
	line := fmt.Sprintf("%d built%s, %d already existed, %d failed", p.built, rebasedSuffix(p.rebased), p.skipped, p.failed)
	if p.cutOff > 0 {
		line += fmt.Sprintf(", %d cut off", p.cutOff)
	}
	if p.notStarted > 0 {
		line += fmt.Sprintf(", %d not started", p.notStarted)
	}
	return line
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

// runningNow says what the run does, and what it waits for.
func (p *progress) runningNow(now time.Time) string {
	var parts []string
	for _, part := range []string{list("running: ", aged(p.running, now)), list("copying ", p.copying(now)), p.others(), p.pausing(now)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, cmp.Or(list("in ", aged(p.phases, now)), "none running"))
	}
	if len(p.waiting) > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for a retry", len(p.waiting)))
	}
	return strings.Join(parts, "; ")
}

// list returns the first few texts in one line, or "" when there are none.
func list(before string, texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	line := before + strings.Join(texts[:min(maxRunning, len(texts))], ", ")
	if more := len(texts) - maxRunning; more > 0 {
		line += fmt.Sprintf(" +%d more", more)
	}
	return line
}

// aged returns names with their age, the oldest first.
func aged(starts map[string]time.Time, now time.Time) []string {
	names := slices.SortedFunc(maps.Keys(starts), func(a, b string) int {
		return cmp.Or(starts[a].Compare(starts[b]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, duration(now.Sub(starts[name]).Seconds()))
	}
	return names
}

// copying returns the layers that are copied, and for which image, the oldest copy first.
func (p *progress) copying(now time.Time) []string {
	starts := map[string]time.Time{}
	for instance, a := range p.doing {
		copied, is := p.copies[a.layer]
		if !is {
			continue
		}
		size := "an unknown size"
		if copied.size >= 0 {
			size = units.HumanSize(float64(copied.size))
		}
		layer := a.layer[:min(len(a.layer), shortDigest)]
		starts[fmt.Sprintf("%s for %s: %s of %s", layer, instance, units.HumanSize(float64(copied.done)), size)] = copied.begun
	}
	return aged(starts, now)
}

// shortDigest is how many characters of a digest tell layers apart.
const shortDigest = len("sha256:") + 12

// others counts the images that neither build nor copy, by what they do or wait for, the most common first.
func (p *progress) others() string {
	counts := map[string]int{}
	for instance, a := range p.doing {
		_, copying := p.copies[a.layer]
		if _, running := p.running[instance]; !running && !copying {
			counts[a.what]++
		}
	}
	whats := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for i, what := range whats {
		whats[i] = fmt.Sprintf("%d %s", counts[what], what)
	}
	return strings.Join(whats, ", ")
}

// pausing tells which registries asked to wait, and for how much longer.
func (p *progress) pausing(now time.Time) string {
	var pauses []string
	for _, host := range slices.Sorted(maps.Keys(p.pauses)) {
		if left := p.pauses[host].Sub(now); left > 0 {
			pauses = append(pauses, fmt.Sprintf("%s asks to wait for another %s", host, duration(left.Seconds())))
		}
	}
	return strings.Join(pauses, ", ")
}
