package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/spelling"
)

// The inputs that choose instances.
const (
	idsInput  = "instance-ids"
	fileInput = "instances-file"
)

// SelectRows is like Select, for rows.
func SelectRows(rows []Row, ids []string, file string, read func(name string) ([]byte, error)) ([]Row, error) {
	chosen, err := Select(IDs(rows), ids, file, read)
	if err != nil {
		return nil, err
	}
	return rowsWithIDs(rows, chosen), nil
}

// SelectList chooses the rows whose ids are in an embedded list, for example a preset's selection.
func SelectList(rows []Row, list string) ([]Row, error) {
	ids, err := Selection(list)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(IDs(rows), ids, "dataset")
	if err != nil {
		return nil, err
	}
	return rowsWithIDs(rows, chosen), nil
}

func rowsWithIDs(rows []Row, ids []string) []Row {
	chosen := make(map[string]bool, len(ids))
	for _, id := range ids {
		chosen[id] = true
	}
	return slices.DeleteFunc(slices.Clone(rows), func(row Row) bool { return !chosen[row.ID] })
}

// NonBlank returns the rows whose column is not blank. If column is empty, it returns all rows.
func NonBlank(rows []Row, column string) []Row {
	if column == "" {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(row Row) bool { return strings.TrimSpace(row.Columns[column]) == "" })
}

// Select chooses the instances in ids. Without ids it chooses those in file, and without a file all. The result is in the
// dataset's order, without duplicates, and never empty. read returns a file's content, as os.ReadFile does. The error
// joins one *config.InputError for each of the first maxUnknown unknown ids.
//
// The evaluation silently drops unknown ids (OpenHands/benchmarks, _load_selected_instances). Here they are an error, so
// that nobody evaluates fewer instances than they asked for.
func Select(all, ids []string, file string, read func(name string) ([]byte, error)) ([]string, error) {
	switch {
	case len(ids) > 0:
		return choose(all, ids, idsInput)
	case file != "":
		text, err := read(file)
		if err != nil {
			return nil, unreadable(fileInput, err)
		}
		if ids, err = parse(file, text); err != nil {
			return nil, err
		}
		return choose(all, ids, fileInput)
	case len(all) == 0:
		return nil, errors.New("choosing instances: the dataset has none")
	default:
		return slices.Clone(all), nil
	}
}

func choose(all, wanted []string, input string) ([]string, error) {
	known := make(map[string]bool, len(all))
	for _, id := range all {
		known[id] = true
	}
	chosen := make(map[string]bool, len(wanted))
	var unknown []string
	for _, id := range wanted {
		if !chosen[id] && !known[id] {
			unknown = append(unknown, id)
		}
		chosen[id] = true
	}
	if len(unknown) > 0 {
		return nil, unknownIDs(unknown, all, input)
	}
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return !chosen[id] }), nil
}

// maxUnknown is how many unknown ids are reported. A file that is no list of ids has one on each line.
const maxUnknown = 10

func unknownIDs(unknown, all []string, input string) error {
	var found []error
	for i, id := range unknown[:min(maxUnknown, len(unknown))] {
		m := unknownID(id, all, input)
		if more := len(unknown) - maxUnknown; more > 0 && i == maxUnknown-1 {
			m.Problem += fmt.Sprintf("; %d more unknown ids are not shown", more)
		}
		found = append(found, m)
	}
	return errors.Join(found...)
}

func unknownID(id string, all []string, input string) *config.InputError {
	m := &config.InputError{Input: input, Problem: "the dataset has no instance " + config.Quote(id)}
	near, others := config.Nearest(id, all), sameProject(id, all)
	switch {
	case len(others) > 1 && near != "" && spelling.Distance(near, id) > 1: // another number is another issue
		m.Fix = fmt.Sprintf("the dataset has %d instances of %s, such as %s", len(others), id[:strings.LastIndexByte(id, '-')], others[0])
	case near != "":
		m.Fix = "did you mean " + near + "?"
	default:
		m.Fix = fmt.Sprintf("ids look like %s; %s", all[0], separatorHints[input])
	}
	return m
}

// sameProject returns the ids that differ from id in the number only.
func sameProject(id string, all []string) (ids []string) {
	end := strings.LastIndexByte(id, '-') + 1
	if end == 0 {
		return nil
	}
	for _, other := range all {
		if number, ok := strings.CutPrefix(other, id[:end]); ok && !strings.Contains(number, "-") {
			ids = append(ids, other)
		}
	}
	return ids
}

var separatorHints = map[string]string{
	idsInput:  "separate them by commas, blanks or line breaks",
	fileInput: "write one a line",
	"dataset": "this version of eval-images has a list of instances that the dataset lacks; give instances-file or instance-ids",
}

// parse reads a file with one id per line. It accepts what editors add: a byte order mark, CRLF or CR line ends, blanks
// around ids, and blank lines. Lines that start with # are comments, because no id starts with #.
func parse(file string, text []byte) ([]string, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, &config.InputError{
			Input: fileInput, Problem: config.Quote(file) + " is not UTF-8 text",
			Fix: "save it as UTF-8; Windows PowerShell's > writes UTF-16",
		}
	}
	var ids []string
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if id := strings.TrimSpace(line); id != "" && !strings.HasPrefix(id, "#") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, &config.InputError{
			Input: fileInput, Problem: config.Quote(file) + " names no instance",
			Fix: "write one id a line, such as django__django-11333, or leave the input empty to build the whole benchmark",
		}
	}
	return ids, nil
}

// unreadable is the error for a file that an input names. The hint is that of err, which knows where the path begins.
func unreadable(input string, err error) *config.InputError {
	m := &config.InputError{Input: input, Problem: oneLine(err), Fix: "check the path"}
	var hinting interface{ Hint() string }
	if errors.As(err, &hinting) {
		m.Fix = hinting.Hint()
	}
	return m
}

// oneLine returns the error's text in one line. A file name in it may hold line breaks.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
