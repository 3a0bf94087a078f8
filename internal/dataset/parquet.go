package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/OpenHands/eval-images/internal/config"
)

// maxRows bounds a dataset, and maxText the values of one column in bytes: a parquet file of a few kilobytes can repeat a value
// two thousand million times. The largest dataset of a benchmark has 60,000 rows.
const (
	maxRows = 1_000_000
	maxText = 256 << 20
)

func tooManyRows(dataset string) error {
	return fmt.Errorf("%s has more than %d rows", config.Quote(dataset), maxRows)
}

// readParquet reads only the instance ids and the named columns of a parquet file, and of the optional ones those that it has.
func readParquet(file io.ReaderAt, size int64, dataset string, columns, optional []string) ([]Row, error) {
	if err := checkFooter(file, size); err != nil {
		return nil, fmt.Errorf("opening the parquet file: %w", err)
	}
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
	has := func(column string) bool {
		_, ok := f.Schema().Lookup(column)
		return ok
	}
	for _, column := range slices.Concat(columns, present(optional, has)) {
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

// present returns the columns that a file has.
func present(columns []string, has func(column string) bool) []string {
	return slices.DeleteFunc(slices.Clone(columns), func(column string) bool { return !has(column) })
}

// maxFooter bounds the description at the end of a parquet file, in bytes. The library reads all of it into memory.
const maxFooter = 64 << 20

// checkFooter checks the length of the footer, which is before the last four bytes of the file (apache/parquet-format, README.md).
func checkFooter(file io.ReaderAt, size int64) error {
	var end [8]byte
	if size < int64(len(end)) {
		return errors.New("it is too short")
	}
	if _, err := file.ReadAt(end[:], size-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if length := int64(binary.LittleEndian.Uint32(end[:])); length > min(maxFooter, size) {
		return fmt.Errorf("its footer has %d bytes", length)
	}
	return nil
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
	size := 0
	for _, group := range f.RowGroups() {
		if group.NumRows() > maxRows {
			return nil, tooManyRows(dataset)
		}
		before := len(values)
		var err error
		if values, err = appendChunk(values, group.ColumnChunks()[leaf.ColumnIndex], &size); err != nil {
			return nil, fmt.Errorf("reading column %s: %w", column, err)
		}
		if read := int64(len(values) - before); read != group.NumRows() {
			return nil, fmt.Errorf("the parquet file is damaged: column %s has %d of %d rows", column, read, group.NumRows())
		}
	}
	return values, nil
}

// appendChunk appends the values of a chunk, and adds their bytes to size.
func appendChunk(values []*string, chunk parquet.ColumnChunk, size *int) ([]*string, error) {
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
					*size += len(text)
				}
				if len(values) > maxRows || *size > maxText {
					parquet.Release(page)
					return values, fmt.Errorf("it has more than %d rows, or more than %d bytes", maxRows, maxText)
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
		fix += "; this one has " + listed(has)
	}
	return &config.InputError{Input: "dataset", Problem: fmt.Sprintf("%s has no column %s", config.Quote(dataset), column), Fix: fix}
}

// maxListed is how many names of columns, splits or configurations an error lists.
const maxListed = 20

// listed joins names that a dataset has given to its parts. It quotes what is no plain word, and leaves out what is too much.
func listed(names []string) string {
	var shown []string
	for _, name := range names[:min(maxListed, len(names))] {
		if !plainName.MatchString(name) {
			name = config.Quote(name)
		}
		shown = append(shown, name)
	}
	if more := len(names) - maxListed; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,50}$`)

func noID(dataset string, row int) error {
	return &config.InputError{
		Input: "dataset", Problem: fmt.Sprintf("%s has no %s in row %d", config.Quote(dataset), idColumn, row+1),
		Fix: "choose a dataset in which every row has one",
	}
}
