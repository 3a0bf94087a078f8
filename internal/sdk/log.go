package sdk

import (
	"os"
	"path/filepath"

	"github.com/OpenHands/eval-images/internal/logfile"
)

// logFile is a file that processes append to. Without a path it is /dev/null.
type logFile struct{ path string }

func (l logFile) open() (*os.File, error) {
	path := l.path
	if path == "" {
		path = os.DevNull
	} else if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

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
