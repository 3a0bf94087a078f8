package report

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Screen is where a run prints whole lines. On a terminal it keeps a progress bar below them while there is one; anywhere
// else the lines are all. It is safe for use by many goroutines.
type Screen struct {
	out      io.Writer
	terminal bool

	mu  sync.Mutex
	bar *bar
}

// NewScreen prints to out. getenv tells of what writes escape sequences into a file: a runner, another CI, a terminal
// that is none.
func NewScreen(out io.Writer, getenv func(name string) string) *Screen {
	return &Screen{out: out, terminal: takesBar(out, getenv)}
}

// narrowest is the width in columns below which a bar says nothing; terminals of unknown size have 0.
const narrowest = 40

func takesBar(out io.Writer, getenv func(string) string) bool {
	file, isFile := out.(*os.File)
	if !isFile || getenv("GITHUB_ACTIONS") == "true" || getenv("CI") != "" || getenv("TERM") == "" || getenv("TERM") == "dumb" {
		return false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	return err == nil && width >= narrowest
}

// Write prints text, which ends with a line break, above the bar. A reader that has gone, as head does, wants no more:
// that is no error.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		if n, err := s.bar.container.Write(text); err == nil {
			return n, nil
		}
	}
	n, err := s.out.Write(text)
	if errors.Is(err, syscall.EPIPE) {
		return len(text), nil
	}
	return n, err
}

// show begins a bar of total images, or returns nil where there is no terminal.
func (s *Screen) show(total int) *bar {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal || s.bar != nil || total == 0 {
		return s.bar
	}
	s.bar = newBar(s.out.(*os.File), total)
	return s.bar
}

// hide takes the bar away and leaves the terminal as it was, with the lines.
func (s *Screen) hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil {
		return
	}
	s.bar.row.Abort(true)
	s.bar.container.Wait()
	s.bar = nil
}

// bar is a row with the bar itself, and two with the rest. What it shows is set from outside, never asked for while it is
// drawn: a line being printed waits for the drawing.
type bar struct {
	container *mpb.Progress
	row       *mpb.Bar
	shown     atomic.Pointer[rows]
}

// rows are the texts around and below a bar.
type rows struct {
	before, after string
	below         [2]string
}

func newBar(out *os.File, total int) *bar {
	b := &bar{container: mpb.New(mpb.WithConsoleWriter(fromTheMargin(out)))}
	b.shown.Store(&rows{})
	b.row = b.container.AddBar(int64(total), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.shown.Load().before })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.shown.Load().after })),
		mpb.BarBtmExtender(b.below(0), b.below(1))) // mpb counts one row for each, whatever it writes
	return b
}

// fromTheMargin has the bar be erased from the first column on. mpb trusts the cursor to be there, but a terminal shows
// what is typed, and with Ctrl-C a "^C": the bar's first two characters would stay for good.
func fromTheMargin(out *os.File) mpb.ConsoleWriter {
	w := cupwriter.New(margin{out}, false)
	w.SetTermFd(int(out.Fd()))
	return w
}

type margin struct{ out io.Writer }

func (m margin) Write(text []byte) (int, error) {
	if bytes.HasPrefix(text, []byte("\x1b[")) {
		if _, err := m.out.Write([]byte("\r")); err != nil {
			return 0, err
		}
	}
	return m.out.Write(text)
}

// below is the nth row below the bar, cut to the terminal's width: a row that wraps would stay when the next is drawn.
func (b *bar) below(n int) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		_, err := io.WriteString(w, oneLine(b.shown.Load().below[n], max(1, s.AvailableWidth))+"\n")
		return err
	})
}

// set shows how far the run is.
func (b *bar) set(done int, shown rows) {
	b.shown.Store(&shown)
	b.row.SetCurrent(int64(done))
}
