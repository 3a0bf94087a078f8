package sdk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// logFile is a file that processes append to. No path means nowhere.
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

// openable makes sure that the file at path can be written, and names it so that a process in another folder finds it.
func openable(path string) (logFile, error) {
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

// size is where the file ends now.
func (l logFile) size() int64 {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// tailFrom is the last of what was written since the file ended at start.
func (l logFile) tailFrom(start int64) string { return TailFrom(l.path, start, tailSize/2) }

// TailFrom is the last of what was written to a file since it ended at start, in whole lines and in at most most bytes.
func TailFrom(path string, start, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, _ := f.Seek(0, io.SeekEnd)
	from := max(start, end-most)
	text := make([]byte, max(0, end-from))
	n, _ := f.ReadAt(text, from)
	said := strings.ToValidUTF8(string(text[:n]), "")
	if _, rest, found := strings.Cut(said, "\n"); found && from > start {
		said = rest
	}
	return strings.TrimSpace(said)
}

// note adds a line of our own.
func (l logFile) note(text string) {
	if f, err := l.open(); err == nil {
		fmt.Fprintf(f, "[eval-images] %s\n", text)
		f.Close()
	}
}
