package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
)

// fromFile reads a sequence of JSON objects (.jsonl), one array of them (.json), or a parquet file. A file has no splits, so
// q.split is ignored.
func fromFile(q *query, readFile func(name string) ([]byte, error)) ([]Row, error) {
	text, err := readFile(q.name)
	if err != nil {
		return nil, unreadable("dataset", err)
	}
	if strings.HasSuffix(q.name, ".parquet") {
		rows, err := readParquet(bytes.NewReader(text), int64(len(text)), q.name, q.columns, q.optional)
		var mistake *config.InputError
		if err != nil && !errors.As(err, &mistake) {
			err = &config.InputError{
				Input: "dataset", Problem: config.Quote(q.name) + " is not a parquet file that can be read: " + oneLine(err),
				Fix: "write it again, for example by DataFrame.to_parquet of pandas",
			}
		}
		return rows, err
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
	array := bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n"), []byte("["))
	if array {
		if _, err := decoder.Token(); err != nil {
			return nil, err
		}
	}
	for !array || decoder.More() {
		var object map[string]json.RawMessage
		switch err := decoder.Decode(&object); {
		case !array && errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case object == nil:
			return nil, errors.New("null is no object")
		case len(objects) == maxRows:
			return nil, fmt.Errorf("it has more than %d rows", maxRows)
		}
		objects = append(objects, object)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("the array has no end: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the array")
	}
	return objects, nil
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
	has := func(column string) bool { return fields[column] != nil }
	for _, column := range slices.Concat(q.columns, present(q.optional, has)) {
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
