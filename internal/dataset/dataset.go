// Package dataset knows which instances a benchmark has, and which of them a user chose.
package dataset

import (
	"embed"
	"fmt"
	"strings"
)

// lists holds the ids of the default datasets; data/README.md says where they are from.
//
//go:embed data/*.txt
var lists embed.FS

// embedded names each list as the hub does: dataset and split.
var embedded = map[[2]string]string{
	{"princeton-nlp/SWE-bench_Verified", "test"}:        "data/swe-bench-verified-test.txt",
	{"eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test"}: "data/swt-bench-verified-test.txt",
}

// Embedded gives the instance ids of one of the default datasets, in the dataset's order.
func Embedded(name, split string) ([]string, error) {
	file, ok := embedded[[2]string{name, split}]
	if !ok {
		return nil, fmt.Errorf("finding the instances of %s, split %s: this version has no list of it", name, split)
	}
	text, err := lists.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the instances of %s: %w", name, err)
	}
	return strings.Fields(string(text)), nil
}
