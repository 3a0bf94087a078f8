package act_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rhysd/actionlint"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	// published is the action, or one of its workflows, as other repositories name it.
	published = regexp.MustCompile(`uses: OpenHands/eval-images(\S*)@v1\b`)
)

// actionlint knows the inputs and outputs of an action, and those of a called workflow, only where they are in the repository. So
// the examples are checked with the action and the workflows of this one.
func TestExamplesInDocumentsPassActionlint(t *testing.T) {
	path, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	project, err := actionlint.NewProject(path)
	if err != nil {
		t.Fatal(err)
	}
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	list.Dir = path
	documents, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, document := range strings.Fields(string(documents)) {
		text, err := os.ReadFile(filepath.Join(path, document))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range yamlBlock.FindAllSubmatchIndex(text, -1) {
			examples++
			workflow, before := wholeWorkflow(string(text[at[2]:at[3]]))
			workflow = published.ReplaceAllString(workflow, "uses: ./$1")
			// The name makes .github/actionlint.yaml apply.
			problems, err := linter.Lint(".github/workflows/example.yml", []byte(workflow), project)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range problems {
				line := strings.Count(string(text[:at[2]]), "\n") + problem.Line - before
				t.Errorf("%s:%d: %s", document, line, problem.Message)
			}
		}
	}
	if examples < 10 {
		t.Errorf("found %d examples", examples)
	}
}

// The page says of each input, output, variable and secret of the workflows what it is, and of no other.
func TestWorkflowsPageIsComplete(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/workflows.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, benchmark := range builds {
		name := "build-" + benchmark + "-images.yml"
		form, call := inputs(parse(t, name))
		for _, all := range []map[string]input{form, call} {
			for input := range all {
				want[input] = true
			}
		}
		content, err := os.ReadFile(filepath.Join(root, ".github/workflows", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, used := range regexp.MustCompile(`\b(?:vars|secrets)\.([A-Z_]+)`).FindAllStringSubmatch(string(content), -1) {
			want[used[1]] = true
		}
	}
	delete(want, "GITHUB_TOKEN") // every job has it
	got := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.+?) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			got[name[1]] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/workflows.md (-workflows +page)\n%s", diff)
	}
}

// wholeWorkflow makes a workflow of an example, which may lack the events, or be steps only. before is the number of lines that it
// adds at the top.
func wholeWorkflow(example string) (workflow string, before int) {
	head := ""
	if strings.HasPrefix(example, "- ") {
		head = "jobs:\n  images:\n    runs-on: ubuntu-24.04\n    steps:\n"
		example = "      " + strings.ReplaceAll(strings.TrimSuffix(example, "\n"), "\n", "\n      ") + "\n"
	}
	if !strings.HasPrefix(example, "on:") {
		head = "on: workflow_dispatch\n" + head
	}
	return head + example, strings.Count(head, "\n")
}
