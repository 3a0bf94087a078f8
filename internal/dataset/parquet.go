package dataset

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/OpenHands/eval-images/internal/config"
)

// readParquet reads only the instance ids and the named columns of a parquet file.
func readParquet(file io.ReaderAt, size int64, dataset string, columns []string) ([]Row, error) {
	f, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.SkipMagicBytes(true),
		parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return nil, fmt.Errorf("opening the parquet file: %w", err)
	}
	ids, err := readColumn(f, dataset, idColumn)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(ids))
	for i, id := range ids {
		if id == nil {
			return nil, noID(dataset, i)
		}
		rows[i].ID = *id
	}
	for _, column := range columns {
		values, err := readColumn(f, dataset, column)
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			if value != nil {
				rows[i].set(column, *value)
			}
		}
	}
	return rows, nil
}

// readBuffer is how many bytes of a column are fetched at once. A column of ids is smaller.
const readBuffer = 1 << 20

// readColumn returns a column's values, nil for null.
func readColumn(f *parquet.File, dataset, column string) ([]*string, error) {
	leaf, ok := f.Schema().Lookup(column)
	if !ok {
		return nil, noColumn(dataset, column, fieldNames(f))
	}
	kind := leaf.Node.Type().Kind()
	if leaf.MaxRepetitionLevel > 0 || kind != parquet.ByteArray && kind != parquet.FixedLenByteArray {
		return nil, &config.InputError{
			Input: "dataset", Problem: fmt.Sprintf("column %s of %s is not text", column, config.Quote(dataset)),
			Fix: "choose a dataset in which it is",
		}
	}
	var values []*string
	for _, group := range f.RowGroups() {
		before := len(values)
		var err error
		if values, err = appendChunk(values, group.ColumnChunks()[leaf.ColumnIndex]); err != nil {
			return nil, fmt.Errorf("reading column %s: %w", column, err)
		}
		if read := int64(len(values) - before); read != group.NumRows() {
			return nil, fmt.Errorf("the parquet file is damaged: column %s has %d of %d rows", column, read, group.NumRows())
		}
	}
	return values, nil
}

func appendChunk(values []*string, chunk parquet.ColumnChunk) ([]*string, error) {
	pages := chunk.Pages()
	defer pages.Close()
	buffer := make([]parquet.Value, 512)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return values, err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(buffer)
			for _, v := range buffer[:n] {
				if v.IsNull() {
					values = append(values, nil)
				} else {
					text := string(v.ByteArray()) // a copy, because the library reuses the page's memory
					values = append(values, &text)
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				parquet.Release(page)
				return values, err
			}
		}
		parquet.Release(page)
	}
}

func fieldNames(f *parquet.File) []string {
	var names []string
	for _, field := range f.Schema().Fields() {
		names = append(names, field.Name())
	}
	return names
}

func noColumn(dataset, column string, has []string) error {
	fix := "choose a dataset that has it"
	if len(has) > 0 {
		fix += "; this one has " + strings.Join(has, ", ")
	}
	return &config.InputError{Input: "dataset", Problem: fmt.Sprintf("%s has no column %s", config.Quote(dataset), column), Fix: fix}
}

func noID(dataset string, row int) error {
	return &config.InputError{
		Input: "dataset", Problem: fmt.Sprintf("%s has no %s in row %d", config.Quote(dataset), idColumn, row+1),
		Fix: "choose a dataset in which every row has one",
	}
}
