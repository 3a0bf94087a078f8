package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed names the packages of this module that each package may import, by path below internal/. A new package needs a
// line here.
var allowed = map[string]string{
	".":   "cmd",
	"cmd": "actions config confined dataset docker evalenv failure image ledger outcome plan rebase registry report report/html sdk sdk/basekey",

	"image":     "confined docker failure imagediff ledger logfile outcome plan rebase registry sdk sdk/basekey",
	"imagediff": "",
	"rebase":    "",

	"report":      "config failure ledger outcome plan",
	"report/html": "failure ledger outcome report",
	"ledger":      "confined failure outcome plan",
	"outcome":     "plan",
	"plan":        "config",
	"failure":     "",

	"docker":   "failure logfile",
	"registry": "failure",
	"sdk":      "confined logfile spelling",
	"evalenv":  "failure sdk",
	"dataset":  "config spelling",
	"actions":  "",
	"confined": "",
	"logfile":  "",

	"config":          "spelling",
	"config/generate": "config",
	"spelling":        "",
	"sdk/basekey":     "",
	"release":         "",

	"dataset/hubtest":       "",
	"registry/registrytest": "",
	"registry/faults":       "",
}

// labMayImport names the packages that the lab and its tests may import. Nothing may import the lab.
const labMayImport = "sdk/basekey registry/faults"

const module = "github.com/OpenHands/eval-images"

func TestImportsGoOneWay(t *testing.T) {
	for from, imports := range importsOf(t, ".", "{{range .Imports}} {{.}}{{end}}") {
		may, known := allowed[from]
		if !known {
			t.Errorf("package %s is missing in the table of allowed imports", from)
		}
		for _, to := range imports {
			if !slices.Contains(strings.Fields(may), to) {
				t.Errorf("%s imports %s, which the table of allowed imports does not list", from, to)
			}
		}
	}
}

func TestTheLabImportsOnlyItself(t *testing.T) {
	const fields = "{{range .Imports}} {{.}}{{end}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}"
	for from, imports := range importsOf(t, "internal/lab", fields) {
		for _, to := range imports {
			if to != "lab" && !strings.HasPrefix(to, "lab/") && !slices.Contains(strings.Fields(labMayImport), to) {
				t.Errorf("%s imports %s, which the lab may not", from, to)
			}
		}
	}
}

// importsOf lists, for each package of the module in dir, which packages of this repository it imports. Paths are those
// below internal/.
func importsOf(t *testing.T, dir, fields string) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-f", "{{.ImportPath}}"+fields, "./...")
	list.Dir, list.Stderr = dir, t.Output()
	out, err := list.Output()
	if err != nil {
		t.Fatalf("listing the packages in %s: %v", dir, err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		from := belowInternal(paths[0])
		all[from] = nil
		for _, path := range paths[1:] {
			if path == module || strings.HasPrefix(path, module+"/") {
				all[from] = append(all[from], belowInternal(path))
			}
		}
	}
	if len(all) < 2 {
		t.Fatalf("found the packages %v in %s", all, dir)
	}
	return all
}

func belowInternal(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/internal/")
}
