package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// archive renames what an older run left in dir: manifest.jsonl to manifest-<its start time>.jsonl, its lock file and
// summary alike. The lock file is the first to go: it is what must never pass for another run's.
func archive(dir string) error {
	var found []string
	for _, name := range []string{LockFileName, FileName, SummaryFileName} {
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
		if err := moveAside(path, stamp); err != nil {
			return err
		}
	}
	return nil
}

// startTime is when the older run in dir began: as its summary says, or, where it did not live to write one, as its first
// record says, or, where it has none, as old as the file.
func startTime(dir, file string) time.Time {
	var summary struct {
		StartedAt time.Time `json:"started_at"`
	}
	if text, err := os.ReadFile(filepath.Join(dir, SummaryFileName)); err == nil {
		if json.Unmarshal(text, &summary) == nil && !summary.StartedAt.IsZero() {
			return summary.StartedAt
		}
	}
	// What an older version or another tool wrote may not be readable to the end; the first records do.
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

// moveAside renames path to a name with the stamp in it that is not taken.
func moveAside(path, stamp string) error {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext) + "-" + stamp
	for n := 1; n < 1000; n++ {
		name := stem + ext
		if n > 1 {
			name = fmt.Sprintf("%s-%d%s", stem, n, ext)
		}
		// Made first, so that no two runs find the same name free: a rename replaces whatever it meets.
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
	return fmt.Errorf("no free name like %s%s", stem, ext)
}
