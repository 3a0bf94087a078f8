package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func printed(parts ...string) string {
	var log bytes.Buffer
	_, output := NewOutput(context.Background(), &log, 0)
	for _, part := range parts {
		io.WriteString(output, part)
	}
	output.Close()
	return log.String()
}

func TestLogKeepsTheBeginningOfALongLine(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	cases := []struct {
		name  string
		parts []string
		want  string
	}{
		{"short lines", []string{"a\nb\n\nc"}, "a\nb\n\nc\n"},
		{"a line in parts", []string{"a", "b\nc", "\n"}, "ab\nc\n"},
		{"a password in a URL", []string{"env.HTTPS_PROXY=\"http://me:pw@proxy:1\" x://y a:b@c\n"}, "env.HTTPS_PROXY=\"http://***@proxy:1\" x://y a:b@c\n"},
		{"a token in a URL", []string{"http://token@proxy:1 http://host/a@b\n"}, "http://***@proxy:1 http://host/a@b\n"},
		{"a password with an @", []string{"http://me:p@ss@proxy\n"}, "http://***@proxy\n"},
		{"a password in parts", []string{"a\nhttp://me:p", "ss@pro", "xy\n"}, "a\nhttp://***@proxy\n"},
		{"JSON", []string{"[\"http://host:1\",\"me@host\"]\n"}, "[\"http://host:1\",\"me@host\"]\n"},
		{
			"a password that is cut",
			[]string{long[18:] + " http://me:password@proxy\n"},
			long[18:] + " http://*** [eval-images] 7 more bytes of this line are left out\n",
		},
		{"a line as long as may be", []string{long + "\nb\n"}, long + "\nb\n"},
		{"a line that is too long", []string{long + "yyy\nb\n"}, long + " [eval-images] 3 more bytes of this line are left out\nb\n"},
		{"the same in parts", []string{long[1:], "xy", "yy", "\nb\n"}, long + " [eval-images] 3 more bytes of this line are left out\nb\n"},
		{"the last line without an end", []string{"a\n" + long + "y"}, "a\n" + long + " [eval-images] 1 more bytes of this line are left out\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := printed(c.parts...); got != c.want {
				t.Errorf("the log has %d bytes that end in %q; want %d, %q", len(got), got[max(0, len(got)-80):], len(c.want), c.want[max(0, len(c.want)-80):])
			}
		})
	}
}

// end is a log of which only the length and the end are kept.
type end struct {
	length int
	text   string
}

func (e *end) Write(p []byte) (int, error) {
	e.length += len(p)
	e.text += string(p[max(0, len(p)-200):])
	e.text = e.text[max(0, len(e.text)-200):]
	return len(p), nil
}

func TestLogOfABuildIsBounded(t *testing.T) {
	var log end
	_, output := NewOutput(t.Context(), &log, 0)
	chunk := strings.Repeat(strings.Repeat("x", maxLine-1)+"\n", 128)
	for range maxOutput/len(chunk) - 1 {
		io.WriteString(output, chunk)
	}
	io.WriteString(output, "y\n")
	io.WriteString(output, chunk)
	io.WriteString(output, "ERROR: the end\n") // which would fit
	output.Close()
	want := fmt.Sprintf("y\n[eval-images] the log of this build is full: %d more bytes are left out\n", len(chunk)+len("ERROR: the end\n"))
	if log.length > maxOutput || !strings.HasSuffix(log.text, want) {
		t.Errorf("the log has %d bytes and ends in %q, want %q", log.length, log.text, want)
	}
}

func TestBuildThatPrintsNothingIsEnded(t *testing.T) {
	const limit = 10 * time.Minute
	cases := []struct {
		name    string
		limit   time.Duration
		print   []string // one each 6 minutes
		stalled time.Duration
	}{
		{"before BuildKit's first line nothing is expected", limit, []string{"copying", "", "", "# a comment\n", "x#1 y\n"}, 0},
		{"it prints now and then", limit, []string{"#0 building with \"b\" instance\n", ".", ".", "."}, 0},
		{"it stops", limit, []string{"#0 building\n", "#1 DONE\n", "", "", ""}, 16 * time.Minute},
		{"through the SDK", limit, []string{"[stderr] #0 building\n", "", "", ""}, limit},
		{"no limit", 0, []string{"#0 building\n", "", "", "", ""}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				ctx, output := NewOutput(t.Context(), io.Discard, c.limit)
				var stalled atomic.Int64
				context.AfterFunc(ctx, func() {
					if errors.Is(context.Cause(ctx), ErrStalled) {
						stalled.Store(int64(time.Since(begin)))
					}
				})
				for _, text := range c.print {
					if text != "" {
						io.WriteString(output, text)
					}
					time.Sleep(6 * time.Minute)
				}
				output.Close()
				time.Sleep(time.Hour) // a build that has ended does not stall
				if got := time.Duration(stalled.Load()); got != c.stalled {
					t.Errorf("stalled after %s, want %s", got, c.stalled)
				}
			})
		})
	}
}
