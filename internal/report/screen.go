package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Screen prints lines to an output. On a terminal it can show a progress bar below them. It is safe for concurrent use.
type Screen struct {
	out      io.Writer
	terminal bool
	colours  bool

	mu  sync.Mutex
	bar *bar
}

// NewScreen returns a Screen that prints to out. It uses getenv to detect CI systems and dumb terminals, which get no bar.
func NewScreen(out io.Writer, getenv func(name string) string) *Screen {
	colours := isTerminal(out, getenv) && getenv("NO_COLOR") == "" // https://no-color.org
	return &Screen{out: out, terminal: supportsBar(out, getenv), colours: colours}
}

// minWidth is the minimum width for a bar, in columns. A terminal of unknown size has width 0.
const minWidth = 40

func supportsBar(out io.Writer, getenv func(string) string) bool {
	if !isTerminal(out, getenv) {
		return false
	}
	width, _, err := term.GetSize(int(out.(*os.File).Fd()))
	return err == nil && width >= minWidth
}

// isTerminal reports whether out is a terminal of a person that understands escape sequences.
func isTerminal(out io.Writer, getenv func(string) string) bool {
	file, isFile := out.(*os.File)
	return isFile && getenv("GITHUB_ACTIONS") != "true" && getenv("CI") == "" && getenv("TERM") != "" && getenv("TERM") != "dumb" &&
		term.IsTerminal(int(file.Fd()))
}

// Write prints text, which must end with a line break, above the bar. A closed pipe, as in "eval-images | head", is not an error.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := text
	if s.colours {
		shown = coloured(text)
	}
	if s.bar != nil {
		if _, err := s.bar.container.Write(shown); err == nil {
			return len(text), nil
		}
	}
	if _, err := s.out.Write(shown); err != nil && !errors.Is(err, syscall.EPIPE) {
		return 0, err
	}
	return len(text), nil
}

// failedMark begins a line about a failure.
const failedMark = "❌ "

// colours are those of lines, by how they begin (ECMA-48, select graphic rendition).
var colours = []struct {
	line   *regexp.Regexp
	colour string
}{
	{regexp.MustCompile(`^(error: |❌ |\[ *\d+/\d+\] failed )`), "31"},
	{regexp.MustCompile(`^(warning: |⚠ )`), "33"},
	{regexp.MustCompile(`^✅ `), "32"},
}

// coloured gives a line the colour of its kind.
func coloured(line []byte) []byte {
	for _, c := range colours {
		if text, whole := bytes.CutSuffix(line, []byte("\n")); whole && c.line.Match(text) {
			return fmt.Appendf(nil, "\x1b[%sm%s\x1b[0m\n", c.colour, text)
		}
	}
	return line
}

// show starts a bar of total images. It returns nil when there is no terminal.
func (s *Screen) show(total int) *bar {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal || s.bar != nil || total == 0 {
		return s.bar
	}
	s.bar = newBar(s.out.(*os.File), total)
	return s.bar
}

// hide removes the bar. The lines above it stay.
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

// bar is a progress bar with two rows of text below it. Its texts are set in advance: drawing must not take the console's
// lock, because a goroutine that prints a line holds that lock and waits for the drawing.
type bar struct {
	container *mpb.Progress
	row       *mpb.Bar
	shown     atomic.Pointer[rows]
}

// rows are the texts beside and below a bar.
type rows struct {
	before, after string
	below         [2]string
}

func newBar(out *os.File, total int) *bar {
	b := &bar{container: mpb.New(mpb.WithConsoleWriter(newBarWriter(out)))}
	b.shown.Store(&rows{})
	// A total below 0 never completes the bar: when all images are there, some of them may still be compared.
	b.row = b.container.AddBar(-1, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.shown.Load().before })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.shown.Load().after })),
		mpb.BarBtmExtender(b.below(0), b.below(1))) // mpb counts one row for each filler
	b.row.SetTotal(int64(total), false)
	return b
}

// newBarWriter returns a writer that erases the bar from the first column on. mpb assumes that the cursor is there. But a terminal
// echoes what the user types, such as "^C", and the first characters of the bar would stay.
func newBarWriter(out *os.File) mpb.ConsoleWriter {
	w := cupwriter.New(crBefore{out}, false)
	w.SetTermFd(int(out.Fd()))
	return w
}

// crBefore writes a carriage return before each escape sequence.
type crBefore struct{ out io.Writer }

func (w crBefore) Write(text []byte) (int, error) {
	if bytes.HasPrefix(text, []byte("\x1b[")) {
		if _, err := w.out.Write([]byte("\r")); err != nil {
			return 0, err
		}
	}
	return w.out.Write(text)
}

// below returns the nth row below the bar, cut to the terminal's width. A row that wraps would not be erased completely.
func (b *bar) below(n int) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		_, err := io.WriteString(w, oneLine(b.shown.Load().below[n], max(1, s.AvailableWidth))+"\n")
		return err
	})
}

// set updates the bar.
func (b *bar) set(done int, shown rows) {
	b.shown.Store(&shown)
	b.row.SetCurrent(int64(done))
}
