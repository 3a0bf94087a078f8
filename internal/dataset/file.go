package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/OpenHands/eval-images/internal/config"
)

// fromFile reads a sequence of JSON objects (.jsonl), or one array of them (.json). A file has no splits, so q.split is
// ignored.
func fromFile(q *query, readFile func(name string) ([]byte, error)) ([]Row, error) {
	text, err := readFile(q.name)
	if err != nil {
		return nil, &config.InputError{
			Input: "dataset", Problem: oneLine(err),
			Fix: "the path starts at the workspace; check out the repository, or write the file, in a step before this one",
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	objects, err := decodeObjects(decoder, text)
	if err != nil {
		return nil, &config.InputError{
			Input:   "dataset",
			Problem: fmt.Sprintf("%s is not JSON at byte %d: %s", config.Quote(q.name), decoder.InputOffset(), oneLine(err)),
			Fix:     "write one JSON object a line, such as {\"instance_id\": \"django__django-11333\"}, or one array of them",
		}
	}
	var rows []Row
	for i, fields := range objects {
		// The first object must have all columns. Later ones may omit a column, which is then null.
		if _, ok := fields[idColumn]; !ok && i > 0 {
			return nil, noID(q.name, i)
		}
		for _, column := range q.columns {
			if _, ok := fields[column]; !ok && i > 0 {
				fields[column] = json.RawMessage("null")
			}
		}
		row, err := newRow(q, fields, i)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func decodeObjects(decoder *json.Decoder, text []byte) (objects []map[string]json.RawMessage, err error) {
	if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n"), []byte("[")) {
		if err := decoder.Decode(&objects); err != nil {
			return nil, err
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("something follows the array")
		}
		if slices.ContainsFunc(objects, func(o map[string]json.RawMessage) bool { return o == nil }) {
			return nil, errors.New("null is no object")
		}
		return objects, nil
	}
	for {
		var object map[string]json.RawMessage
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case object == nil:
			return nil, errors.New("null is no object")
		}
		objects = append(objects, object)
	}
}

// newRow reads a Row from a JSON object's fields.
func newRow(q *query, fields map[string]json.RawMessage, index int) (Row, error) {
	var row Row
	text := func(column string) (string, bool, error) {
		raw, ok := fields[column]
		if !ok {
			return "", false, noColumn(q.name, column, slices.Sorted(maps.Keys(fields)))
		}
		var value *string
		if err := json.Unmarshal(raw, &value); err != nil {
			return "", false, &config.InputError{
				Input: "dataset", Fix: "choose a dataset in which it is",
				Problem: fmt.Sprintf("column %s of %s is not text in row %d", column, config.Quote(q.name), index+1),
			}
		}
		if value == nil {
			return "", false, nil
		}
		return *value, true, nil
	}
	id, ok, err := text(idColumn)
	if err == nil && !ok {
		err = noID(q.name, index)
	}
	if err != nil {
		return row, err
	}
	row.ID = id
	for _, column := range q.columns {
		value, ok, err := text(column)
		if err != nil {
			return row, err
		}
		if ok {
			row.set(column, value)
		}
	}
	return row, nil
}
