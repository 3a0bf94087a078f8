// Package dataset knows which instances a benchmark has, and which of them a user chose.
package dataset

import (
	"embed"
	"fmt"
	"strings"
)

// Row is an instance, with the columns that were asked for beside its id.
type Row struct {
	ID      string
	Columns map[string]string
}

// IDs are the rows' ids, in their order.
func IDs(rows []Row) []string {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids
}

func rowsOf(ids []string) []Row {
	rows := make([]Row, len(ids))
	for i, id := range ids {
		rows[i].ID = id
	}
	return rows
}

// lists holds the ids of presets' datasets and the presets' selections; data/README.md says where they are from.
//
//go:embed data/*.txt
var lists embed.FS

// embedded names each list as the hub does: dataset and split.
var embedded = map[[2]string]string{
	{"princeton-nlp/SWE-bench_Verified", "test"}:        "swe-bench-verified-test",
	{"eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test"}: "swt-bench-verified-test",
	{"princeton-nlp/SWE-bench_Multimodal", "dev"}:       "swe-bench-multimodal-dev",
	{"SWE-bench/SWE-bench_Multilingual", "test"}:        "swe-bench-multilingual-test",
}

// Embedded gives the instance ids of a dataset of which this version has a list, in the dataset's order.
func Embedded(name, split string) ([]string, error) {
	list, ok := embedded[[2]string{name, split}]
	if !ok {
		return nil, fmt.Errorf("this version has no list of the instances of %s, split %s", name, split)
	}
	return Selection(list)
}

// Selection gives the ids of a list by its name, such as a preset's selection.
func Selection(list string) ([]string, error) {
	text, err := lists.ReadFile("data/" + list + ".txt")
	if err != nil {
		return nil, fmt.Errorf("reading the list of instances %s: %w", list, err)
	}
	return strings.Fields(string(text)), nil
}
