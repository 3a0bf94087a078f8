// Package report tells people and later steps what a run did: live lines, the step summary, outputs and the lock file.
package report

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/plan"
)

// heartbeat is how often a run that may be silent for many minutes says that it lives.
const heartbeat = 60 * time.Second

// Console is the live view of a run in a log: a line for each image as it ends, and a heartbeat. It is safe for use by
// many goroutines.
type Console struct {
	print func(line string)

	mu       sync.Mutex
	progress progress
	closed   bool
	done     chan struct{}
}

// NewConsole shows a run of total images, of which at most workers are built at once. print writes one line, and makes
// it safe: lines repeat what builds say. It is never called twice at the same time.
func NewConsole(print func(line string), total, workers int) *Console {
	return &Console{
		print: print, done: make(chan struct{}),
		progress: progress{total: total, workers: workers, running: map[string]time.Time{}},
	}
}

// Started is told of each target whose build begins.
func (c *Console) Started(t plan.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.start(t.InstanceID, time.Now())
}

// Finished is told of each target that has ended, also of one that never started.
func (c *Console) Finished(o build.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.finish(o)
	c.print(c.position() + " " + finishedLine(o))
}

// Waiting is told of each target whose attempt has failed and that will be tried again after wait.
func (c *Console) Waiting(t plan.Target, attempt int, err error, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.pause(t.InstanceID)
	c.print(fmt.Sprintf("%*s retry    %s  attempt %d failed, the next one comes in %s  %s: %s", len(c.position()), "", t.InstanceID, attempt,
		duration(wait.Seconds()), build.ClassOf(err), oneLine(err.Error(), reasonInLog)))
}

// position is where the run is: "[ 3/12]".
func (c *Console) position() string {
	return fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(c.progress.total)), c.progress.finished(), c.progress.total)
}

// Run prints the heartbeat until ctx is done or the console is closed.
func (c *Console) Run(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
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

func (c *Console) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.print(c.progress.String(time.Now()))
	}
}

// Close ends the heartbeat; once it has returned there is no further one.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
}

// reasonInLog bounds what a line of the log repeats of an error: a runner's live view cuts lines at 1024 characters
// (actions/runner, JobServerQueue.cs), and the log's path has to be in sight.
const reasonInLog = 300

func finishedLine(o build.Outcome) string {
	took := o.Result.Check + o.Result.Making
	word := map[build.Status]string{build.Built: "built", build.Skipped: "skipped", build.Failed: "failed"}[o.Status()]
	line := fmt.Sprintf("%-7s  %s  %.1fs", word, o.Target.InstanceID, took.Seconds())
	if o.Result.Attempts > 1 {
		line += fmt.Sprintf("  %d attempts", o.Result.Attempts)
	}
	if o.Status() != build.Failed {
		return line
	}
	class, reason := build.ClassUnknown, "the build named no tag"
	if o.Err != nil {
		class, reason = build.ClassOf(o.Err), oneLine(o.Err.Error(), reasonInLog)
	}
	line += fmt.Sprintf("  %s: %s", class, reason)
	if o.Result.LogPath != "" {
		line += "  log: " + o.Result.LogPath
	}
	return line
}
