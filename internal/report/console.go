// Package report tells people and later steps what a run did: live lines, the step summary, outputs and the lock file.
package report

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// heartbeat is how often a run that may be silent for many minutes says that it lives.
const heartbeat = 60 * time.Second

// redrawn is how often the bar on a terminal is brought up to date.
const redrawn = time.Second

// Console is the live view of a run: a line for each image as it ends, with a heartbeat in a log, or a bar on a
// terminal. It is safe for use by many goroutines.
type Console struct {
	print  func(line string)
	screen *Screen

	mu       sync.Mutex
	progress progress
	closed   bool
	bar      *bar // on a terminal, while the run is on
	done     chan struct{}
}

// NewConsole shows a run of total images, of which at most workers are built at once. print writes one line to screen,
// and makes it safe: lines repeat what builds say. It is never called twice at the same time.
func NewConsole(print func(line string), screen *Screen, total, workers int) *Console {
	return &Console{
		print: print, screen: screen, done: make(chan struct{}),
		progress: progress{total: total, workers: workers, running: map[string]time.Time{}},
	}
}

// Started is told of each target whose build begins.
func (c *Console) Started(t plan.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.start(t.InstanceID, time.Now())
	c.redraw()
}

// Stopped is told of each target that holds no worker any more: it has ended, or waits for something.
func (c *Console) Stopped(t plan.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress.running, t.InstanceID)
	c.redraw()
}

// Finished is told of each target that has ended, also of one that never started.
func (c *Console) Finished(o *outcome.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.finish(o)
	c.print(c.position() + " " + finishedLine(o))
	c.redraw()
}

// Waiting is told of each target whose attempt has failed and that will be tried again after wait.
func (c *Console) Waiting(t plan.Target, attempt int, err error, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.pause(t.InstanceID)
	c.print(fmt.Sprintf("%*s retry    %s  attempt %d failed, the next one comes in %s  %s: %s", len(c.position()), "", t.InstanceID, attempt,
		duration(wait.Seconds()), failure.ClassOf(err), oneLine(err.Error(), reasonInLog)))
	c.redraw()
}

// position is where the run is: "[ 3/12]".
func (c *Console) position() string {
	return fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(c.progress.total)), c.progress.finished(), c.progress.total)
}

// Run prints the heartbeat, or keeps a bar, until ctx is done or the console is closed.
func (c *Console) Run(ctx context.Context) {
	every := heartbeat
	if c.begin() {
		every = redrawn
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

// begin shows the bar where there can be one.
func (c *Console) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.bar = c.screen.show(c.progress.total)
	c.redraw()
	return c.bar != nil
}

// redraw brings the bar up to date, where there is one.
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
		c.print(c.progress.String(time.Now()))
	}
}

// Close ends heartbeat or bar; once it has returned there is nothing further of them.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.bar = true, nil
		close(c.done)
		c.screen.hide()
	}
}

// reasonInLog bounds what a line of the log repeats of an error: a runner's live view cuts lines at 1024 characters
// (actions/runner, JobServerQueue.cs), and the log's path has to be in sight.
const reasonInLog = 300

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
		line += "  not rebased: " + oneLine(o.NotRebased, reasonInLog)
	}
	if o.Status() != outcome.Failed {
		return line
	}
	class, reason := failure.ClassUnknown, "the build succeeded, but returned no tags"
	if o.Err != nil {
		class, reason = failure.ClassOf(o.Err), oneLine(o.Err.Error(), reasonInLog)
	}
	line += fmt.Sprintf("  %s: %s", class, reason)
	if o.LogPath != "" {
		line += "  log: " + o.LogPath
	}
	return line
}
