package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of the module each package may import, by path below internal/. A package that is not
// here has no place in the house yet: give it one.
var arrows = map[string]string{
	".":        "pipeline",
	"pipeline": "actions build build/evalbase build/native build/rebase build/verify build/wrap config dataset engine ledger plan registry report sdk sdk/closure",

	"report":         "build config ledger plan",
	"ledger":         "build plan",
	"build/native":   "build plan sdk",
	"build/rebase":   "build plan registry",
	"build/evalbase": "build build/native build/rebase plan registry",
	"build/verify":   "",
	"build/wrap":     "build build/native plan sdk",
	"build":          "plan",
	"plan":           "config",

	"actions":         "",
	"config":          "spelling",
	"config/generate": "config",
	"spelling":        "",
	"dataset":         "config",
	"engine":          "",
	"registry":        "",
	"sdk":             "spelling",

	"sdk/closure": "",

	"dataset/hubtest":       "",
	"registry/registrytest": "",
}

func TestImportsGoOneWay(t *testing.T) {
	const module = "github.com/OpenHands/eval-images"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}:{{range .Imports}} {{.}}{{end}}", "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, out)
	}
	short := func(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/internal/") }
	for line := range strings.Lines(string(out)) {
		path, imports, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || !strings.HasPrefix(path, module) {
			continue
		}
		from := short(path)
		if from == "" {
			from = "."
		}
		inLab := from == "lab" || strings.HasPrefix(from, "lab/")
		allowed, known := arrows[from]
		if !known && !inLab {
			t.Errorf("package %s has no entry in the table of arrows", from)
		}
		for _, to := range strings.Fields(imports) {
			if !strings.HasPrefix(to, module) {
				continue
			}
			to = short(to)
			toLab := to == "lab" || strings.HasPrefix(to, "lab/")
			if inLab != toLab || !inLab && !contains(allowed, to) {
				t.Errorf("%s imports %s: that arrow is not in the house", from, to)
			}
		}
	}
}

func contains(list, name string) bool { return slices.Contains(strings.Fields(list), name) }
