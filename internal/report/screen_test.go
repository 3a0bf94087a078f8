package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/OpenHands/eval-images/internal/failure"
)

// terminal is a real pseudo-terminal.
type terminal struct {
	*os.File // what a program writes to
	master   *os.File
	mu       sync.Mutex
	said     strings.Builder
	copied   sync.WaitGroup
}

func newTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	raw.Control(func(fd uintptr) {
		n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		err = errors.Join(err, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	made := &terminal{File: file, master: master}
	made.copied.Go(func() { io.Copy(written{made}, master) }) // until the program's side is closed
	return made
}

type written struct{ to *terminal }

func (w written) Write(text []byte) (int, error) {
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	return w.to.said.Write(text)
}

func (m *terminal) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said.String()
}

// shows waits until the terminal was made to show text.
func (m *terminal) shows(t *testing.T, text string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(m.text(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the terminal does not show %q:\n%q", text, m.text())
}

// end gives all that was shown.
func (m *terminal) end() string {
	m.Close()
	m.copied.Wait()
	m.master.Close()
	return m.text()
}

func environ(assignments ...string) func(string) string {
	return func(name string) string {
		for _, a := range assignments {
			if value, ok := strings.CutPrefix(a, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// Escape sequences are for people at terminals alone.
func TestWhereABarIsShown(t *testing.T) {
	cases := []struct {
		name    string
		columns uint16
		environ []string
		want    bool
	}{
		{"a terminal", 80, []string{"TERM=xterm"}, true},
		{"without colours, which it has none of", 80, []string{"TERM=xterm", "NO_COLOR=1"}, true},
		{"a terminal that is none", 80, []string{"TERM=dumb"}, false},
		{"a terminal of no kind", 80, nil, false},
		{"a runner", 80, []string{"TERM=xterm", "GITHUB_ACTIONS=true"}, false},
		{"another CI", 80, []string{"TERM=xterm", "CI=1"}, false},
		{"no width", 0, []string{"TERM=xterm"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			screen := newTerminal(t, c.columns)
			defer screen.end()
			if got := supportsBar(screen.File, environ(c.environ...)); got != c.want {
				t.Errorf("a bar is shown: %v, want %v", got, c.want)
			}
		})
	}
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if supportsBar(file, environ("TERM=xterm")) || supportsBar(&bytes.Buffer{}, environ("TERM=xterm")) {
		t.Error("a bar is shown in a file")
	}
}

// masking is a Logger that hides a secret.
type masking struct{ screen *Screen }

func (m masking) Info(line string) { fmt.Fprintln(m.screen, strings.ReplaceAll(line, "s3cret", "***")) }

// runOnTerminal is a run of 3 images, as it is seen until it is over.
func runOnTerminal(t *testing.T, columns uint16) string {
	there := newTerminal(t, columns)
	screen := NewScreen(there.File, environ("TERM=xterm"))
	c := NewConsole(masking{screen}, screen, 3, 2)
	go c.Run(t.Context())
	there.shows(t, "0 of 3 [")
	fmt.Fprintln(screen, "preflight took 1.0 s")
	c.Started(target("a__b-1"))
	c.Started(target("a__b-2"))
	there.shows(t, "running: a__b-1 (")
	c.Finished(built("a__b-1", 10))
	there.shows(t, "1 of 3 [")
	c.Waiting(target("a__b-2"), 1, &failure.Error{Class: failure.ClassNetwork, Err: errors.New("lookup s3cret: no such host")}, 7*time.Second)
	there.shows(t, "none running; 1 waiting")
	c.Started(target("a__b-2"))
	there.shows(t, "running: a__b-2 (")
	// What a terminal shows of Ctrl-C.
	there.Write([]byte("^C"))
	c.Finished(skipped("a__b-3"))
	c.Close()
	fmt.Fprintln(screen, "the summary")
	return there.end()
}

// What a terminal shows in the end are the lines, whole and in order, and nothing of the bar.
func TestBarOnATerminal(t *testing.T) {
	said := runOnTerminal(t, 120)
	for _, want := range []string{"1 built, 0 already existed, 0 failed", "images per hour", "less than 1m left", "waiting for a retry"} {
		if !strings.Contains(said, want) {
			t.Errorf("the bar does not show %q:\n%q", want, said)
		}
	}
	got := screenAfter(t, said)
	want := "preflight took 1.0 s\n" +
		"[1/3] built    a__b-1  10.3s\n" +
		"      retry    a__b-2  attempt 1 failed, retrying in 7.0s  network: lookup ***: no such host\n" +
		"[2/3] existed  a__b-3  0.1s\n" +
		"the summary\n"
	if got != want {
		t.Errorf("left on the screen:\n%s\nwant:\n%s\nof %q", got, want, said)
	}
	if strings.Contains(said, "s3cret") {
		t.Error("a secret is shown")
	}
	if strings.Contains(said, "\x1b[?25l") && !strings.HasSuffix(said, "\x1b[?25h") {
		t.Error("the cursor stays hidden")
	}
}

// A bar that is wider than the terminal would leave its rows behind.
func TestBarFits(t *testing.T) {
	for line := range strings.SplitSeq(runOnTerminal(t, 45), "\n") {
		line = strings.TrimRight(line[strings.LastIndexByte(line, 'J')+1:], "\r")
		if strings.HasPrefix(line, "1 built, ") && len([]rune(line)) > 45 {
			t.Errorf("%d columns: %q", len([]rune(line)), line)
		}
	}
}

// screenAfter is what a terminal shows after text, of which it understands what a bar needs: line breaks, carriage
// returns, and cursor up by n with "erase to the end".
func screenAfter(t *testing.T, text string) string {
	t.Helper()
	lines, row, column := []string{""}, 0, 0
	for text != "" {
		var up int
		switch n, _ := fmt.Sscanf(text, "\x1b[%dA\x1b[J", &up); {
		case n == 1:
			text = text[strings.IndexByte(text, 'J')+1:]
			row = max(0, row-up)
			lines = lines[:row+1]
			lines[row] = lines[row][:min(column, len(lines[row]))]
		case text[0] == '\x1b':
			t.Fatalf("a sequence that is not expected: %q", text[:min(20, len(text))])
		case text[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			text = text[1:]
		case text[0] == '\r':
			column, text = 0, text[1:]
		default:
			lines[row] = lines[row][:min(column, len(lines[row]))] + text[:1] + lines[row][min(column+1, len(lines[row])):]
			column, text = column+1, text[1:]
		}
	}
	return strings.Join(lines, "\n")
}
