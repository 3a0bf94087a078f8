package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	for name, generate := range files() {
		old, err := os.ReadFile(filepath.Join("..", root, name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := generate(string(old))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(old), "\n"), strings.Split(text, "\n")); diff != "" {
			t.Errorf("%s is out of date; run: go generate ./internal/config (-file +generated)\n%s", name, diff)
		}
	}
}
