package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/report"
)

// The inputs are generated in both files; config/generate tests them.
func TestReadmeHasEveryOutput(t *testing.T) {
	action, err := os.ReadFile("action.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, outputs, _ := strings.Cut(string(action), "\noutputs:\n")
	declared := regexp.MustCompile(`(?m)^  ([a-z-]+):\n    description: (.*)$`).FindAllStringSubmatch(outputs, -1)
	if len(declared) < 10 {
		t.Fatalf("found %d outputs in action.yml", len(declared))
	}
	for _, d := range declared {
		if row := "| `" + d[1] + "` | " + d[2] + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}

const troubleshooting = "docs/troubleshooting.md"

// The table of failures says what the program does and hints at.
func TestTroubleshootingHasEveryClassOfFailure(t *testing.T) {
	page, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	again := map[int]string{0: "no", 1: "once", 2: "twice", 5: "yes"}
	for _, class := range failure.Classes() {
		row := regexp.MustCompile("(?m)^\\| `" + string(class) + "` \\| .+ \\| (.+) \\| (.+) \\|$").FindSubmatch(page)
		if row == nil || string(row[1]) != again[failure.MaxRetries(class, 5)] || string(row[2]) != failure.Hint(class) {
			t.Errorf("%s lacks the row of %s, tried again: %s, what to do: %s", troubleshooting, class, again[failure.MaxRetries(class, 5)], failure.Hint(class))
		}
	}
}

// The table of what is said of rebases has the program's own words.
func TestTroubleshootingHasTheWordsOfRebases(t *testing.T) {
	page, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## Messages about rebases\n")
	table, _, _ = strings.Cut(table, "\n## ")
	said := report.Markdown(ledger.Summarize(ledger.Run{Rebase: ledger.Rebase{
		TreesCompared: true, Verified: []ledger.Verified{{Result: ledger.VerifiedFailed, TagsLeft: []string{"r/i:t"}}},
	}}, []ledger.Entry{{InstanceID: "a__b-1", Status: outcome.Built, StrategyReason: "ONBUILD"}}), nil, nil)
	said += strings.Join(config.Config{Strategy: config.StrategyNative, VerifyTree: true}.Warnings(), "\n")
	rows := regexp.MustCompile("(?m)^\\| `([^|]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(rows) < 6 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, row := range rows {
		for words := range strings.SplitSeq(row[1], "`, `") {
			if !strings.Contains(said, words) {
				t.Errorf("the program does not say %q", words)
			}
		}
	}
}

// composed are messages that the program puts together: the parts that its code has.
var composed = map[string][]string{
	"hint: did you mean":               {"did you mean "},
	"died (signal: killed)":            {"the worker process died ("},
	"the engine of the Docker context": {"the engine of ", "the Docker context "},
	"does not run linux/amd64":         {"it does not run ", `"linux/amd64"`},
}

// said are messages of other programs, for which the program has no words of its own.
var said = []string{"No space left on device", "NAME_UNKNOWN"}

// The messages by which a user finds the row are in the code of the program.
func TestTroubleshootingHasMessagesOfTheProgram(t *testing.T) {
	listed, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "internal/*.go", "internal/*.py").Output()
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range strings.Fields(string(listed)) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/lab/") || strings.Contains(name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) { // deleted and not committed yet
			t.Fatal(err)
		}
		code.Write(text)
	}
	_, table, _ := strings.Cut(documents(t)[troubleshooting], "\n## When the run ends at once\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| (`.+?) \\|").FindAllStringSubmatch(table, -1)
	if len(rows) < 20 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, row := range rows {
		for _, message := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			parts := composed[message[1]]
			if parts == nil && !slices.Contains(said, message[1]) {
				parts = []string{message[1]}
			}
			for _, part := range parts {
				if !strings.Contains(code.String(), part) {
					t.Errorf("%s has the message %q, but the program never says %q", troubleshooting, message[1], part)
				}
			}
		}
	}
}

var (
	markdownLink  = regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)
	markdownTitle = regexp.MustCompile(`(?m)^#+ (.+)$`)
	codeSpan      = regexp.MustCompile("`([^`]+)`")
)

// A relative link names a file of the repository, and the heading in it after a #. A link to Go code whose text is a code span
// names a declaration of that file.
func TestLinksBetweenDocumentsResolve(t *testing.T) {
	links := 0
	for document, text := range documents(t) {
		for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
			file, heading, _ := strings.Cut(link[2], "#")
			if strings.Contains(file, "://") {
				continue
			}
			links++
			if file = filepath.Join(filepath.Dir(document), file); link[2][0] == '#' {
				file = document
			}
			target, err := os.ReadFile(file)
			switch name := codeSpan.FindStringSubmatch(link[1]); {
			case err != nil:
				t.Errorf("%s links to %s: %v", document, link[2], err)
			case heading != "" && !slices.Contains(anchors(string(target)), heading):
				t.Errorf("%s links to %s, and %s has no such heading", document, link[2], file)
			case name != nil && filepath.Ext(file) == ".go" && !slices.Contains(declarations(t, file, target), name[1]):
				t.Errorf("%s links to %s in %s, which does not declare it", document, name[1], file)
			}
		}
	}
	if links < 20 {
		t.Fatalf("found %d links", links)
	}
}

// anchors are GitHub's names of a document's headings.
func anchors(markdown string) (all []string) {
	for _, title := range markdownTitle.FindAllStringSubmatch(markdown, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(title[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// declarations names what a file of Go declares at its top level: "New", "Maker.All".
func declarations(t *testing.T, name string, source []byte) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range file.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			method := ""
			if d.Recv != nil {
				method = strings.TrimPrefix(types.ExprString(d.Recv.List[0].Type), "*") + "."
			}
			all = append(all, method+d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					all = append(all, s.Name.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						all = append(all, name.Name)
					}
				}
			}
		}
	}
	return all
}

// The table of packages says what imports_test.go allows.
func TestArchitectureHasEveryPackage(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n| Package | What it is | May import |\n")
	documented := map[string]string{".": allowed["."]} // main is no package of its own there
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`.+) \| .+ \| (.*)\|$`).FindAllStringSubmatch(table, -1) {
		var imports []string
		for _, name := range codeSpan.FindAllStringSubmatch(row[2], -1) {
			imports = append(imports, name[1])
		}
		for _, name := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			documented[name[1]] = strings.Join(imports, " ")
		}
	}
	if diff := cmp.Diff(allowed, documented); diff != "" {
		t.Errorf("docs/architecture.md differs from imports_test.go (-allowed +documented)\n%s", diff)
	}
}
