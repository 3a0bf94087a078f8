package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The files of a run, in the folder of its dataset and split. The first two names come from OpenHands/benchmarks.
const (
	FileName        = "manifest.jsonl"
	SummaryFileName = "build-summary.json"
	LockFileName    = "images.lock.json"
	FailedFileName  = "failed.txt"
	ReportFileName  = "report.html"
	TraceFileName   = "trace.json"

	EvalEnvFileName        = "eval-env-manifest.jsonl"
	EvalEnvSummaryFileName = "eval-env-summary.json"
)

// Schema is the version of the files' form, which they have as "schema". It grows when a reader of the old form would misread the
// new one. Files without a number are older than the first version, and have the form of version 1.
const Schema = 1

// Writer appends to a run's ledger. It is safe for use by many goroutines.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	size int64 // of the complete lines
}

// Open creates a ledger in dir. It first renames the files of an older run: their new names contain that run's start time.
func Open(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating the folder of the ledger: %w", err)
	}
	if err := rotateAll(dir); err != nil {
		return nil, fmt.Errorf("renaming the ledger of an older run: %w", err)
	}
	return create(filepath.Join(dir, FileName))
}

// OpenEvalEnv creates the ledger of environment images in dir, whose ledger is open. It has a file of its own, because readers add up
// the lines of every manifest.jsonl.
func OpenEvalEnv(dir string) (*Writer, error) { return create(filepath.Join(dir, EvalEnvFileName)) }

func create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("creating the ledger: %w", err)
	}
	return &Writer{file: file}, nil
}

// Append writes one line and syncs it to disk. After an error the line is not in the ledger.
func (w *Writer) Append(e Entry) error {
	e.Schema = Schema // also in the merge of older ledgers
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
		// A full disk may leave half a line, and the next line would be appended to it.
		return fmt.Errorf("writing the entry of %s: %w", e.InstanceID, errors.Join(err, w.file.Truncate(w.size)))
	}
	w.size += int64(len(line))
	return nil
}

// Close closes the ledger.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}

// rotateAll renames the files of an older run in dir: manifest.jsonl becomes manifest-<its start time>.jsonl, and so on. It
// renames the lock file first, because a stale lock file must never be taken for this run's.
func rotateAll(dir string) error {
	var found []string
	for _, name := range []string{LockFileName, FailedFileName, ReportFileName, TraceFileName, EvalEnvFileName, EvalEnvSummaryFileName, FileName, SummaryFileName} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	stamp := startTime(dir, found[0]).UTC().Format("20060102T150405Z")
	for _, path := range found {
		if err := rotate(path, stamp); err != nil {
			return err
		}
	}
	return nil
}

// startTime returns the start time of the older run in dir: from its summary, or else from its first entry, or else the
// modification time of file.
func startTime(dir, file string) time.Time {
	var summary struct {
		StartedAt time.Time `json:"started_at"`
	}
	if text, err := os.ReadFile(filepath.Join(dir, SummaryFileName)); err == nil {
		if json.Unmarshal(text, &summary) == nil && !summary.StartedAt.IsZero() {
			return summary.StartedAt
		}
	}
	// The start time is in the first entries. An unreadable line after them does not matter.
	entries, _ := Read(filepath.Join(dir, FileName))
	for _, e := range entries {
		if e.StartedAt != nil {
			return *e.StartedAt
		}
		if !e.Time.IsZero() {
			return e.Time
		}
	}
	if info, err := os.Lstat(file); err == nil {
		return info.ModTime()
	}
	return time.Time{}
}

// rotate renames path to an unused name that contains stamp.
func rotate(path, stamp string) error {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext) + "-" + stamp
	for n := 1; n < 1000; n++ {
		name := stem + ext
		if n > 1 {
			name = fmt.Sprintf("%s-%d%s", stem, n, ext)
		}
		// os.Rename replaces an existing file. Creating the new name first reserves it against a concurrent run.
		reserved, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		reserved.Close()
		if err := os.Rename(path, name); err != nil {
			os.Remove(name)
			return err
		}
		return nil
	}
	return fmt.Errorf("all names like %s%s are taken", stem, ext)
}
