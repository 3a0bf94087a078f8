package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Part is what one run has left in a folder.
type Part struct {
	Dir     string
	Summary Summary
	Entries []Entry
}

// NotMergeable says why runs cannot be added up.
type NotMergeable struct{ Problem, Fix string }

func (e *NotMergeable) Error() string { return e.Problem }

// Hint says what to do about it.
func (e *NotMergeable) Hint() string { return e.Fix }

// ReadParts finds the runs in the folders and below them. A copy of one is left out, and so is what a merge wrote. Unended
// are folders whose ledger has no summary beside it: their runs did not live to write one.
func ReadParts(dirs []string) (parts []Part, unended []string, err error) {
	seen := map[string]bool{}
	for _, dir := range dirs {
		before := len(seen)
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() != SummaryFileName && entry.Name() != FileName {
				return err
			}
			folder, err := filepath.Abs(filepath.Dir(path))
			if err != nil || seen[folder] {
				return err
			}
			seen[folder] = true
			part, err := readPart(folder)
			switch {
			case errors.Is(err, errNoSummary):
				unended = append(unended, folder)
			case err != nil:
				return err
			case part.Summary.Run.MergedFrom == 0 && !slices.ContainsFunc(parts, part.isCopyOf):
				parts = append(parts, part)
			}
			return nil
		})
		var path *fs.PathError
		if errors.As(err, &path) {
			return nil, nil, &NotMergeable{"reading " + dir + ": " + err.Error(), "name folders that runs of the shards have left"}
		}
		if err != nil {
			return nil, nil, err
		}
		if len(seen) == before {
			return nil, nil, &NotMergeable{
				fmt.Sprintf("there is no %s in %s or below it, or it was found already", SummaryFileName, dir),
				"name each folder once; they are what runs of the shards have left in their build-dir",
			}
		}
	}
	return parts, unended, nil
}

var errNoSummary = errors.New("there is no summary")

func readPart(dir string) (Part, error) {
	part := Part{Dir: dir}
	path := filepath.Join(dir, SummaryFileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return part, errNoSummary
	}
	if err == nil {
		err = json.Unmarshal(text, &part.Summary)
	}
	if err != nil {
		return part, &NotMergeable{fmt.Sprintf("reading %s: %v", path, err), "copy what the run has left anew"}
	}
	part.Summary.Run.Started, part.Summary.Run.Finished = part.Summary.StartedAt, part.Summary.FinishedAt
	if part.Summary.Run.MergedFrom > 0 {
		return part, nil
	}
	if part.Entries, err = Read(filepath.Join(dir, FileName)); err != nil {
		return part, &NotMergeable{err.Error(), "copy " + FileName + " too, beside " + SummaryFileName}
	}
	return part, nil
}

func (p Part) isCopyOf(other Part) bool {
	a, b := p.Summary.Run, other.Summary.Run
	return a.Shard == b.Shard && a.Started.Equal(b.Started) && a.Finished.Equal(b.Finished) && len(p.Entries) == len(other.Entries)
}

// best gives each instance's record that counts: one that says that the image is there before one that does not, and of
// several the last. The result is in the order in which they ended.
func best(parts []Part) []Entry {
	chosen := map[string]Entry{}
	for _, part := range parts {
		for _, e := range part.Entries {
			old, taken := chosen[e.InstanceID]
			if !taken || e.better(old) {
				chosen[e.InstanceID] = e
			}
		}
	}
	var entries []Entry
	for _, e := range chosen {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if before := ended(a).Compare(ended(b)); before != 0 {
			return before
		}
		return compareIDs(a, b)
	})
	return entries
}

func ended(e Entry) time.Time {
	if e.FinishedAt != nil {
		return *e.FinishedAt
	}
	return e.Time
}
