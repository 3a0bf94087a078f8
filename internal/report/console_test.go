package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// console collects what is printed.
type console struct {
	*Console
	lines []string
}

func newConsole(total, workers int) *console {
	c := &console{}
	screen := NewScreen(io.Discard, func(string) string { return "" })
	c.Console = NewConsole(c, screen, total, workers)
	return c
}

func (c *console) Info(line string) { c.lines = append(c.lines, line) }

func TestFinishedLines(t *testing.T) {
	again := built("a__b-2", 10)
	again.Attempts = make([]outcome.Attempt, 2)
	cut := cancelled("a__b-10")
	cut.Attempts, cut.Build = make([]outcome.Attempt, 1), 9*time.Second
	nameless := ended("a__b-6", outcome.Outcome{Attempts: make([]outcome.Attempt, 1)}, nil)
	c := newConsole(12, 2)
	for _, o := range []*outcome.Outcome{
		built("django__django-11333", 47.9), skipped("a__b-1"), again,
		failed("a__b-3", failure.ClassBuild, 1, 1, "docker ended with 1:\n  no such base\r\n::error::x"),
		failed("a__b-4", failure.ClassSDK, 0, 1, strings.Repeat("long ", 500)),
		cancelled("a__b-5"), nameless, rebasedImage("a__b-8"), refused("a__b-9", "ONBUILD"),
		ended("a__b-7", outcome.Outcome{}, errors.New("odd")), cut,
		failed("a__b-11", failure.ClassDeadline, 0, 1, "the run's deadline was reached"), ended("a__b-12", outcome.Outcome{}, failure.TooLate(time.Second, time.Minute)),
	} {
		c.Finished(o)
	}
	c.Unfinished()
	const logs = "builds/princeton-nlp/SWE-bench_Verified/test/logs/"
	want := []string{
		"[ 1/12] built    django__django-11333  48.2s",
		"[ 2/12] existed  a__b-1  0.1s",
		"[ 3/12] built    a__b-2  10.3s  2 attempts",
		"[ 4/12] failed   a__b-3  9.0s  build-failed",
		"[ 5/12] failed   a__b-4  9.0s  sdk-error",
		"[ 6/12] failed   a__b-6  0.0s  unknown",
		"[ 7/12] rebased  a__b-8  1.4s",
		"[ 8/12] built    a__b-9  50.3s  not rebased: ONBUILD",
		"[ 9/12] failed   a__b-7  0.0s  unknown",
		"[10/12] cancelled  a__b-10  9.0s  cancelled: not started: context canceled",
		"[11/12] stopped  a__b-11  9.0s  deadline: the run's deadline was reached  log: " + logs + "a__b-11.log",
		"11 of 12 images have ended: 4 built (1 rebased), 1 already existed, 4 failed, 2 cut off, 2 not started",
	}
	if diff := cmp.Diff(want, c.lines); diff != "" {
		t.Error(diff)
	}
}

// The heartbeat of a run of 9 images by 4 workers, minute by minute.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(9, 4)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Run(ctx)
		minute := func() {
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		minute()
		c.Finished(skipped("a__b-0"))
		for i := range 4 {
			time.Sleep(time.Second)
			c.Started(target(fmt.Sprintf("a__b-%d", i+1)))
		}
		minute()
		c.Finished(built("a__b-1", 119.7)) // two minutes with its check
		c.Finished(built("a__b-2", 119.7))
		minute()
		for i := range 6 {
			c.Finished(built(fmt.Sprintf("a__b-%d", i+3), 119.7))
		}
		minute()
		cancel()
		minute()

		var got []string
		for _, line := range c.lines {
			if !strings.HasPrefix(line, "[") {
				got = append(got, line)
			}
		}
		want := []string{
			"0 of 9 done: 0 built, 0 already existed, 0 failed; images per hour unknown; time left unknown; none running",
			"1 of 9 done: 0 built, 1 already existed, 0 failed; images per hour unknown; time left unknown; running: a__b-1 (59s), a__b-2 (58s), a__b-3 (57s) +1 more",
			// 4 not begun and 2 that are 1m 57s and 1m 56s old: 8m 07s of work for 4 workers
			"3 of 9 done: 2 built, 1 already existed, 0 failed; 61 images per hour; about 2m left; running: a__b-3 (1m 57s), a__b-4 (1m 56s)",
			"9 of 9 done: 8 built, 1 already existed, 0 failed; 161 images per hour; nothing left; none running",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Whatever a run waits for, the heartbeat says it.
// TestHeartbeatAfterARestart: one console shows the images of the agent and then others, and its end is the end of all heartbeats.
func TestHeartbeatAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(9, 4)
		go c.Run(t.Context())
		c.Finished(built("a__b-1", 60))
		c.Restart(4)
		c.Finished(skipped("exec.base"))
		time.Sleep(90 * time.Second)
		c.Close()
		time.Sleep(5 * time.Minute)
		want := []string{
			"[1/9] built    a__b-1  60.3s", "[1/4] existed  exec.base  0.1s",
			"1 of 4 done: 0 built, 1 already existed, 0 failed; images per hour unknown; time left unknown; none running",
		}
		if diff := cmp.Diff(want, c.lines); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

func TestHeartbeatSaysWhatTheRunWaitsFor(t *testing.T) {
	const layer, other = "sha256:0123456789abcdef", "sha256:fedcba9876543210"
	cases := []struct {
		name string
		does func(c *console)
		want string
	}{
		{"nothing is known", func(*console) {}, "none running"},
		{"set-up", func(c *console) {
			c.Began("sdist")
			time.Sleep(time.Minute)
			c.Began("import")
		}, "in sdist (1m 00s), import (0.0s)"},
		{"a phase that ended", func(c *console) {
			c.Began("sdist")
			c.Ended("sdist")
		}, "none running"},
		{"a copy", func(c *console) {
			c.Doing(target("a__b-1"), "pushing", layer)
			c.Copying(layer, 0, 80_000_000)
			time.Sleep(74 * time.Second)
			c.Copying(layer, 3_000_000, 80_000_000)
		}, "copying sha256:0123456789ab for a__b-1: 3MB of 80MB (1m 14s)"},
		{"copies of unknown size, and one that ended", func(c *console) {
			c.Doing(target("a__b-1"), "pushing", layer)
			c.Doing(target("a__b-2"), "pushing", other)
			c.Copying(layer, 10, -1)
			c.Copying(other, 0, 80)
			c.Copying(other, 80, 80)
		}, "copying sha256:0123456789ab for a__b-1: 10B of an unknown size (0.0s); 1 pushing"},
		{"waits", func(c *console) {
			for i := range 5 {
				c.Doing(target(fmt.Sprint("a__b-", i)), "waiting for the references", "")
			}
			c.Doing(target("a__b-5"), "pushing", "")
			c.Doing(target("a__b-6"), "waiting to be built", "")
			c.Started(target("a__b-6"))
			c.Doing(target("a__b-7"), "pushing", "")
			c.Doing(target("a__b-7"), "", "")
		}, "running: a__b-6 (0.0s); 5 waiting for the references, 1 pushing"},
		{"a pause", func(c *console) {
			c.Doing(target("a__b-1"), "pushing", "")
			c.Pausing("ghcr.io", 2*time.Minute)
			time.Sleep(time.Minute)
		}, "1 pushing; ghcr.io asks to wait for another 1m 00s"},
		{"a pause that is over", func(c *console) {
			c.Pausing("ghcr.io", time.Minute)
			time.Sleep(time.Minute)
		}, "none running"},
		{"a retry", func(c *console) {
			c.Doing(target("a__b-1"), "pushing", "")
			c.Waiting(target("a__b-1"), 1, errors.New("502"), time.Minute)
		}, "none running; 1 waiting for a retry"},
		{"an image that ended", func(c *console) {
			c.Doing(target("a__b-1"), "pushing", "")
			c.Finished(built("a__b-1", 1))
		}, "none running"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				there := newConsole(9, 4)
				c.does(there)
				if got := there.progress.runningNow(time.Now()); got != c.want {
					t.Errorf("%s\nwant %s", got, c.want)
				}
			})
		})
	}
}

func TestTimeLeft(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	cases := []struct {
		name string
		p    progress
		want string
	}{
		{"nothing built yet", progress{total: 9, workers: 2, failed: 3}, "time left unknown"},
		{"only skipped", progress{total: 9, workers: 2, skipped: 3}, "time left unknown"},
		{"all done", progress{total: 9, workers: 2, skipped: 9}, "nothing left"},
		{"4 images of 2 minutes by 2", progress{total: 9, workers: 2, built: 5, builtTime: 10 * time.Minute}, "about 4m left"},
		{"fewer images than workers", progress{total: 6, workers: 8, built: 5, builtTime: 10 * time.Minute}, "about 2m left"},
		{"what runs is half done", progress{total: 6, workers: 1, built: 5, builtTime: 10 * time.Minute, running: map[string]time.Time{"x": at(-1)}}, "about 1m left"},
		{"what runs is overdue", progress{total: 6, workers: 1, built: 5, builtTime: 10 * time.Minute, running: map[string]time.Time{"x": at(-9)}}, "less than 1m left"},
		{"rebased ones tell, not the references", progress{total: 42, workers: 1, built: 22, builtTime: 10 * time.Minute, rebased: 20, rebasedTime: 80 * time.Minute}, "about 1h 20m left"},
		{"hours", progress{total: 500, workers: 4, built: 20, builtTime: 24 * time.Minute}, "about 2h 24m left"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.left(noon); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestCloseEndsTheHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(1, 1)
		ended := make(chan bool)
		go func() {
			c.Run(t.Context())
			close(ended)
		}()
		time.Sleep(90 * time.Second)
		c.Close()
		c.Close()
		<-ended
		c.beat() // one that was due when the console was closed
		if len(c.lines) != 1 {
			t.Errorf("%q", c.lines)
		}
	})
}

// Lines come one at a time and in the order of their count, whoever finishes.
func TestConsoleFromManyGoroutines(t *testing.T) {
	c := newConsole(100, 8)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			c.Started(target(fmt.Sprint(i)))
			c.Finished(built(fmt.Sprint(i), 1))
		})
	}
	all.Wait()
	for i, line := range c.lines {
		if want := fmt.Sprintf("[%3d/100] built", i+1); !strings.HasPrefix(line, want) {
			t.Errorf("%q, want %q", line, want)
		}
	}
}

// An image that waits for the references, or for its next attempt, is not running.
func TestStoppedIsNotRunning(t *testing.T) {
	c := newConsole(2, 1)
	c.Started(target("a__b-1"))
	c.Stopped(target("a__b-1"))
	if got := c.progress.runningNow(time.Now()); got != "none running" {
		t.Errorf("%s, want none running", got)
	}
}
