package runner

import (
	"io"
	"strings"
	"sync"
)

// Annotation is a message that a runner shows on the run's page.
type Annotation struct {
	Level      string            // error, warning or notice
	Message    string            // unescaped, and masked
	Properties map[string]string // title, file, line, ...
}

// log collects the lines of a step and executes the workflow commands among them.
type log struct {
	mu          sync.Mutex // guards all of it; the two streams write at once
	live        io.Writer
	text        strings.Builder
	masks       []string
	annotations []Annotation
	outputs     map[string]string // of the deprecated set-output, which a real runner still obeys
	resume      string            // token that ends stop-commands; empty when not stopped
	streams     []*stream
}

func newLog(live io.Writer) *log {
	if live == nil {
		live = io.Discard
	}
	return &log{live: live, outputs: map[string]string{}}
}

// stream is stdout or stderr. Each has its own unfinished line.
type stream struct {
	log     *log
	partial []byte
	wasCR   bool
}

func (l *log) stream() *stream {
	s := &stream{log: l}
	l.streams = append(l.streams, s)
	return s
}

// Write ends a line at \n, \r\n and a bare \r, as .NET's ReadLine does. So the text after a progress bar's last \r can
// be a command.
func (s *stream) Write(chunk []byte) (int, error) {
	for _, b := range chunk {
		switch {
		case b == '\n' && s.wasCR:
		case b == '\n' || b == '\r':
			s.endLine()
		default:
			s.partial = append(s.partial, b)
		}
		s.wasCR = b == '\r'
	}
	return len(chunk), nil
}

func (s *stream) endLine() {
	s.log.add(string(s.partial))
	s.partial = s.partial[:0]
}

// flush ends the last lines, which have no line break. Call it after both streams were closed.
func (l *log) flush() {
	for _, s := range l.streams {
		if len(s.partial) > 0 {
			s.endLine()
		}
	}
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.obey(line)
	line = l.mask(line) + "\n"
	l.text.WriteString(line)
	io.WriteString(l.live, line) // a closed live copy must not end the step
}

func (l *log) obey(line string) {
	c, ok := parseCommand(line, l.resume)
	switch {
	case !ok:
	case l.resume != "":
		if c.name == l.resume {
			l.resume = ""
		}
	case c.name == "stop-commands":
		l.resume = c.message
	case c.name == "add-mask":
		l.addMask(c.message)
	case c.name == "set-output":
		l.outputs[c.properties["name"]] = c.message
	case c.name == "error" || c.name == "warning" || c.name == "notice":
		l.annotations = append(l.annotations, Annotation{c.name, l.mask(c.message), c.properties})
	}
}

// addMask masks each line of the value.
func (l *log) addMask(value string) {
	for part := range strings.Lines(value) {
		if part = strings.TrimRight(part, "\r\n"); part != "" {
			l.masks = append(l.masks, part)
		}
	}
}

func (l *log) mask(text string) string {
	for _, m := range l.masks {
		text = strings.ReplaceAll(text, m, "***")
	}
	return text
}
