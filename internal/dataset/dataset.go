// Package dataset reads the instances of a benchmark's dataset, and selects the ones that a user chose.
package dataset

import (
	"embed"
	"fmt"
	"strings"
)

// Row is one instance: its id and the requested columns.
type Row struct {
	ID      string
	Columns map[string]string
}

// IDs returns the rows' ids in their order.
func IDs(rows []Row) []string {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids
}

func rowsFromIDs(ids []string) []Row {
	rows := make([]Row, len(ids))
	for i, id := range ids {
		rows[i].ID = id
	}
	return rows
}

// lists holds the instance ids of the presets' datasets, and the presets' selections. data/README.md names their sources.
//
//go:embed data/*.txt
var lists embed.FS

// embedded maps dataset and split, by their names on the hub, to a list.
var embedded = map[[2]string]string{
	{"princeton-nlp/SWE-bench_Verified", "test"}:        "swe-bench-verified-test",
	{"eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test"}: "swt-bench-verified-test",
	{"princeton-nlp/SWE-bench_Multimodal", "dev"}:       "swe-bench-multimodal-dev",
	{"SWE-bench/SWE-bench_Multilingual", "test"}:        "swe-bench-multilingual-test",
}

// Embedded returns the instance ids of a dataset in the dataset's order, if this version has a list of them.
func Embedded(name, split string) ([]string, error) {
	list, ok := embedded[[2]string{name, split}]
	if !ok {
		return nil, fmt.Errorf("this version has no list of the instances of %s, split %s", name, split)
	}
	return Selection(list)
}

// Selection returns the ids of an embedded list by the list's name, for example a preset's selection.
func Selection(list string) ([]string, error) {
	text, err := lists.ReadFile("data/" + list + ".txt")
	if err != nil {
		return nil, fmt.Errorf("reading the list of instances %s: %w", list, err)
	}
	return strings.Fields(string(text)), nil
}
