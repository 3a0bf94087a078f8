package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/confined"
)

// NewerSchema is the error of a file that a later version of this program has written.
type NewerSchema struct{ Schema int }

func (e *NewerSchema) Error() string {
	return fmt.Sprintf("it has schema %d, and this version of eval-images knows no schema above %d", e.Schema, Schema)
}

// Hint says how to fix the error.
func (e *NewerSchema) Hint() string {
	return "use the version of eval-images that wrote it, or a later one"
}

// decode decodes a JSON text, unless its schema is newer than ours: its fields may mean something else.
func decode(text []byte, into any) error {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return err
	}
	if version.Schema > Schema {
		return &NewerSchema{version.Schema}
	}
	return json.Unmarshal(text, into)
}

// Read returns the entries of the ledger at path. It ignores an incomplete last line, which a killed run may leave. For any
// other invalid line it returns an error and the entries before that line.
func Read(path string) ([]Entry, error) {
	text, err := confined.Read(filepath.Dir(path), filepath.Base(path), maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return parse(path, text)
}

// maxFile bounds a file of a record, in bytes. The ledger of 500 images has 1 MB.
const maxFile = 512 << 20

func parse(path string, text []byte) ([]Entry, error) {
	var entries []Entry
	for number := 1; len(text) > 0; number++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var e Entry
		if err := decode(line, &e); err != nil {
			if _, newer := errors.AsType[*NewerSchema](err); !whole && !newer {
				break
			}
			return entries, fmt.Errorf("reading line %d of %s: %w", number, path, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Part is the record of one run, as ReadParts found it in a folder.
type Part struct {
	Dir     string
	Summary Summary
	Entries []Entry
}

// Relocate changes the paths in a record, which begin in the workspace of its run, to those in the folder where the record is now.
func (p *Part) Relocate(dir string) {
	before := filepath.Dir(string(p.Summary.Run.Files.Summary)) + string(filepath.Separator)
	moved := func(path *Text) {
		if rest, below := strings.CutPrefix(string(*path), before); below {
			*path = Text(filepath.Join(dir, rest))
		}
	}
	for i := range p.Entries {
		moved(&p.Entries[i].LogPath)
	}
	if e := p.Summary.Run.EvalEnv; e != nil {
		moved(&e.Ledger)
		moved(&e.Summary)
		for i := range e.Images {
			moved(&e.Images[i].LogPath)
		}
	}
}

// NotMergeable is the error of runs that cannot be merged.
type NotMergeable struct{ Problem, Fix string }

func (e *NotMergeable) Error() string { return e.Problem }

// Hint says how to fix the error.
func (e *NotMergeable) Hint() string { return e.Fix }

// ReadParts finds the records of runs in dirs and below them. It ignores copies and merged records. unended are the folders
// that have a ledger but no summary, because the run was killed before it could write one.
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
			return nil, nil, &NotMergeable{fmt.Sprintf("reading %s: %v", path.Path, path.Err), "give the build-dir folders of the shards' runs"}
		}
		if err != nil {
			return nil, nil, err
		}
		if len(seen) == before {
			return nil, nil, &NotMergeable{
				fmt.Sprintf("there is no %s in %s or below it, except those already found in another folder", SummaryFileName, dir),
				"give the build-dir folders of the shards' runs, each folder once",
			}
		}
	}
	return parts, unended, nil
}

var errNoSummary = errors.New("there is no summary")

// ParseSummary returns the summary that is the content of a file.
func ParseSummary(text []byte) (s Summary, err error) {
	err = decode(text, &s)
	s.Run.Started, s.Run.Finished = s.StartedAt, s.FinishedAt
	return s, err
}

func readPart(dir string) (Part, error) {
	part := Part{Dir: dir}
	path := filepath.Join(dir, SummaryFileName)
	text, err := confined.Read(dir, SummaryFileName, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return part, errNoSummary
	}
	if err == nil {
		part.Summary, err = ParseSummary(text)
	}
	if err != nil {
		return part, unreadable(fmt.Errorf("reading %s: %w", path, err), "copy the folder of this run again")
	}
	if part.Summary.Run.MergedFrom > 0 {
		return part, nil
	}
	if part.Entries, err = Read(filepath.Join(dir, FileName)); err != nil {
		return part, unreadable(err, "copy "+FileName+" to the same folder as "+SummaryFileName)
	}
	return part, nil
}

// unreadable is the error of a part whose files cannot be read. fix is the hint, unless a later version has written them.
func unreadable(err error, fix string) error {
	if newer, ok := errors.AsType[*NewerSchema](err); ok {
		fix = newer.Hint()
	}
	return &NotMergeable{err.Error(), fix}
}

func (p Part) isCopyOf(other Part) bool {
	a, b := p.Summary.Run, other.Summary.Run
	return a.Shard == b.Shard && a.Started.Equal(b.Started) && a.Finished.Equal(b.Finished) && len(p.Entries) == len(other.Entries)
}
