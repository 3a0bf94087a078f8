package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/OpenHands/eval-images/internal/config"
)

// The inputs that instances are chosen by.
const (
	idsInput  = "instance-ids"
	fileInput = "instances-file"
)

// SelectRows is Select for rows.
func SelectRows(rows []Row, ids []string, file string, read func(name string) ([]byte, error)) ([]Row, error) {
	chosen, err := Select(IDs(rows), ids, file, read)
	if err != nil {
		return nil, err
	}
	return among(rows, chosen), nil
}

// SelectList chooses the rows of one of the lists in this version by its name, such as a preset's selection.
func SelectList(rows []Row, list string) ([]Row, error) {
	ids, err := Selection(list)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(IDs(rows), ids, "dataset")
	if err != nil {
		return nil, err
	}
	return among(rows, chosen), nil
}

func among(rows []Row, ids []string) []Row {
	chosen := make(map[string]bool, len(ids))
	for _, id := range ids {
		chosen[id] = true
	}
	return slices.DeleteFunc(slices.Clone(rows), func(row Row) bool { return !chosen[row.ID] })
}

// Filled gives the rows in which a column is not blank; without a column, all.
func Filled(rows []Row, column string) []Row {
	if column == "" {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(row Row) bool { return strings.TrimSpace(row.Columns[column]) == "" })
}

// Select chooses from all instances those of ids or, when there are no ids, those of file; when there is no file
// either, it chooses all. The result is in the dataset's order, each id once, and never empty. The error joins one
// *config.InputError for each id that the dataset does not have. read gives a file's content, as os.ReadFile does.
//
// The evaluation drops ids that it does not know (OpenHands/benchmarks, _load_selected_instances) and would wait for
// images of fewer instances than were asked for without a word; here that is a mistake.
func Select(all, ids []string, file string, read func(name string) ([]byte, error)) ([]string, error) {
	switch {
	case len(ids) > 0:
		return choose(all, ids, idsInput)
	case file != "":
		text, err := read(file)
		if err != nil {
			return nil, &config.InputError{Input: fileInput, Problem: oneLine(err),
				Fix: "the path starts at the workspace; check out the repository, or write the file, in a step before this one"}
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
	var unknown []error
	for _, id := range wanted {
		if !chosen[id] && !known[id] {
			unknown = append(unknown, noSuch(id, all, input))
		}
		chosen[id] = true
	}
	if len(unknown) > 0 {
		return nil, errors.Join(unknown...)
	}
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return !chosen[id] }), nil
}

func noSuch(id string, all []string, input string) error {
	m := &config.InputError{Input: input, Problem: "the dataset has no instance " + config.Quote(id)}
	if near := config.Nearest(id, all); near != "" {
		m.Fix = "did you mean " + near + "?"
	} else {
		m.Fix = fmt.Sprintf("ids look like %s; %s", all[0], separators[input])
	}
	return m
}

var separators = map[string]string{
	idsInput:  "separate them by commas, blanks or line breaks",
	fileInput: "write one a line",
	"dataset": "this version of eval-images has a list of instances that the dataset lacks; give instances-file or instance-ids",
}

// parse reads a file of one id a line. Editors leave behind what is harmless and is passed over here: a byte order
// mark, CRLF or CR as line ends, blanks around ids, blank lines. No id starts with #, so such lines are comments.
func parse(file string, text []byte) ([]string, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, &config.InputError{Input: fileInput, Problem: config.Quote(file) + " is not UTF-8 text",
			Fix: "save it as UTF-8; Windows PowerShell's > writes UTF-16"}
	}
	var ids []string
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if id := strings.TrimSpace(line); id != "" && !strings.HasPrefix(id, "#") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, &config.InputError{Input: fileInput, Problem: config.Quote(file) + " names no instance",
			Fix: "write one id a line, such as django__django-11333, or leave the input empty to build the whole benchmark"}
	}
	return ids, nil
}

// oneLine keeps an error that quotes a strange file name from forging lines.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
