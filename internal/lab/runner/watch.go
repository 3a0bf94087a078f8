package runner

import (
	"io"
	"strings"
	"sync"
)

// Watch returns a writer that forwards to log, and a channel that is closed when a line with the text has been written. Each write
// is a line.
func Watch(log io.Writer, text string) (io.Writer, <-chan struct{}) {
	w := &watcher{log: log, text: text, seen: make(chan struct{})}
	return w, w.seen
}

type watcher struct {
	log  io.Writer
	text string
	seen chan struct{}
	once sync.Once
}

func (w *watcher) Write(line []byte) (int, error) {
	if strings.Contains(string(line), w.text) {
		w.once.Do(func() { close(w.seen) })
	}
	return w.log.Write(line)
}
