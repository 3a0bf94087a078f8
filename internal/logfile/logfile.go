// Package logfile writes to the log of an image, which processes append to, and reads its end.
package logfile

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Open opens a log for appending. It makes the file and its folder if they are missing.
func Open(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return log, nil
}

// Note appends a line of this program's. It ignores errors: the build that follows opens the same log, and reports them.
func Note(path, text string) {
	if log, err := Open(path); err == nil {
		defer log.Close()
		fmt.Fprintf(log, "[eval-images] %s\n", userInfo.ReplaceAllString(text, "://***@"))
	}
}

// Tail is the end of what was written since the file had start bytes: whole lines, and at most most bytes.
func Tail(path string, start, most int64) string {
	log, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer log.Close()
	end, _ := log.Seek(0, io.SeekEnd)
	from := max(start, end-most)
	text := make([]byte, max(0, end-from))
	n, _ := log.ReadAt(text, from)
	tail := strings.ToValidUTF8(string(text[:n]), "")
	if _, rest, found := strings.Cut(tail, "\n"); found && from > start {
		tail = rest
	}
	return strings.TrimSpace(tail)
}

// LastLine returns the last line of a text that is not blank.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// maxName is the length of the longest name of a log without its ending, in bytes. File systems take 255.
const maxName = 200

// Name is a file name for an instance's log that every shell, archive and upload accepts. It ends in ".log". A name that differs from
// the instance's contains a hash, so that no two instances share a log.
func Name(instance string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '-'
	}, instance)
	safe = strings.TrimLeft(safe, ".-")
	if safe == "" || safe != instance || len(safe) > maxName {
		safe = fmt.Sprintf("%s-%.4x", safe[:min(len(safe), maxName)], sha256.Sum256([]byte(instance)))
	}
	return strings.TrimLeft(safe, "-") + ".log"
}
