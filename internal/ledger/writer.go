package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// The files of a run, in the folder of its dataset and split. The first two names are the benchmarks repository's.
const (
	FileName        = "manifest.jsonl"
	SummaryFileName = "build-summary.json"
	LockFileName    = "images.lock.json"
)

// Writer appends to a run's ledger. It is safe for use by many goroutines.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	size int64 // of the whole lines
}

// Open begins a ledger in dir. An older one there, with its summary and lock file, first gets the start time of its run
// into its name.
func Open(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the ledger: %w", err)
	}
	if err := archive(dir); err != nil {
		return nil, fmt.Errorf("renaming the ledger of an older run: %w", err)
	}
	path := filepath.Join(dir, FileName)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("beginning the ledger: %w", err)
	}
	return &Writer{file: file}, nil
}

// Append writes one line and flushes it to the disk. After an error the line is not in the ledger.
func (w *Writer) Append(e Entry) error {
	line, err := encode(e, "")
	if err != nil {
		return fmt.Errorf("encoding the entry of %s: %w", e.InstanceID, err)
	}
	line = append(line, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.file.Write(line)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		// Half a line, as a full disk leaves it, would spoil the next one too.
		return fmt.Errorf("writing the entry of %s: %w", e.InstanceID, errors.Join(err, w.file.Truncate(w.size)))
	}
	w.size += int64(len(line))
	return nil
}

// Close ends the ledger.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}
