package sdk

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/logfile"
)

// logFile is a file that processes append to. Without a path it is /dev/null.
type logFile struct{ path string }

func (l logFile) open() (*os.File, error) { return logfile.Open(cmp.Or(l.path, os.DevNull)) }

// imageLog creates the log at path, if necessary. The result's path is absolute, for processes in another folder.
func imageLog(path string) (logFile, error) {
	if path == "" {
		return logFile{path: os.DevNull}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return logFile{}, err
	}
	f, err := logFile{path}.open()
	if err != nil {
		return logFile{}, err
	}
	return logFile{path}, f.Close()
}

// size returns the file's size, 0 if there is no file.
func (l logFile) size() int64 {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// tailSince returns the last whole lines of a file, without what was there when its size was start.
func (l logFile) tailSince(start int64) string { return logfile.Tail(l.path, start, tailSize/2) }

// note appends a line of this program's.
func (l logFile) note(text string) { logfile.Note(l.path, text) }

// outputPipe is a named pipe that a build prints into. A program cannot print more, or longer lines, into the log than we let
// through, and we see when it prints nothing.
type outputPipe struct {
	path        string
	read, write *os.File
	copied      chan struct{} // closed when all was copied
}

// openPipe makes a pipe for one build, and begins to copy what comes out of it.
func (w *worker) openPipe(to io.Writer) (*outputPipe, error) {
	p := &outputPipe{path: filepath.Join(w.dir, "log"), copied: make(chan struct{})}
	os.Remove(p.path) // that of the last build, into which a process that it left may still print
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: p.path, Err: err}
	}
	var err error
	if p.read, err = os.OpenFile(p.path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil { // else it waits for a writer
		return nil, err
	}
	if p.write, err = os.OpenFile(p.path, os.O_WRONLY, 0); err != nil { // until the worker has opened it, the pipe has no other end
		p.read.Close()
		return nil, err
	}
	go func() {
		defer close(p.copied)
		io.Copy(to, p.read)
	}()
	return p, nil
}

// drainTimeout is how long we wait for a process that a build has left and that keeps the pipe open.
const drainTimeout = time.Second

// close waits until what the build has printed is copied.
func (p *outputPipe) close() {
	p.write.Close()
	_ = p.read.SetReadDeadline(time.Now().Add(drainTimeout))
	<-p.copied
	p.read.Close()
}
