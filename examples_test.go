package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/cmd"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/report"
)

// documents are the texts of all Markdown files, by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	listed, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range strings.Fields(string(listed)) {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) { // deleted and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

var (
	consoleBlock = regexp.MustCompile("(?ms)^```(?:console|sh)\n(.*?)^```$")
	yamlBlock    = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	expression   = regexp.MustCompile(`\$\{\{.*?\}\}`)
)

// example is a run of the program in a document.
type example struct {
	document string
	line     string   // of a shell, or empty
	inputs   []string // variables, as the runner gives them to the action
}

// examples finds the command lines and the action's steps in all documents.
func examples(t *testing.T) (found []example) {
	t.Helper()
	for document, text := range documents(t) {
		for _, block := range consoleBlock.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
				if line = strings.TrimPrefix(strings.TrimSpace(line), "$ "); strings.HasPrefix(line, "eval-images ") {
					found = append(found, example{document: document, line: line})
				}
			}
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			for _, step := range strings.Split(block[1], "- ")[1:] {
				if strings.Contains(step, "uses: OpenHands/eval-images@v1\n") {
					found = append(found, example{document: document, inputs: inputVariables(step)})
				}
			}
		}
	}
	return found
}

// inputVariables returns the inputs of a step, as far as they are on one line each. What an expression is at a run is left out,
// except in credentials, which come in pairs, and within a value.
func inputVariables(step string) (variables []string) {
	_, with, _ := strings.Cut(step, "with:\n")
	indent := with[:len(with)-len(strings.TrimLeft(with, " "))]
	for line := range strings.Lines(with) {
		rest, inside := strings.CutPrefix(line, indent)
		if !inside {
			break
		}
		name, value, _ := strings.Cut(rest, ": ")
		value, _, _ = strings.Cut(value, " #")
		value = strings.Trim(strings.TrimSpace(value), "'")
		credential := strings.HasSuffix(name, "-username") || strings.HasSuffix(name, "-password")
		if strings.HasPrefix(name, " ") || value == "|" || expression.FindString(value) == value && !credential {
			continue
		}
		variables = append(variables, "INPUT_"+strings.ToUpper(name)+"="+expression.ReplaceAllString(value, "1"))
	}
	return variables
}

// Each example gets past the check of its inputs. One with sdk-ref ends there, because this git fetches nothing.
func TestExamplesInDocumentsAreGoodInputs(t *testing.T) {
	ids, err := dataset.Embedded("princeton-nlp/SWE-bench_Verified", "test")
	if err != nil {
		t.Fatal(err)
	}
	hub := hubtest.New(t)
	hub.Add("princeton-nlp/SWE-bench_Verified", hubtest.Whole(t, "test", ids))
	git := t.TempDir()
	if err := os.WriteFile(filepath.Join(git, "git"), []byte("#!/bin/sh\necho 'fatal: this is no git' >&2\nexit 128\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	lines, steps := 0, 0
	var all sync.WaitGroup
	for _, e := range examples(t) {
		want := cmd.ExitSetup
		run := exec.Command("eval-images")
		run.Dir = t.TempDir()
		run.Env = []string{"PATH=" + git + ":" + os.Getenv("PATH"), "HOME=" + run.Dir, "TMPDIR=" + run.Dir, "HF_ENDPOINT=" + hub.URL}
		if e.line != "" {
			lines++
			run.Path, run.Args = "/bin/sh", []string{"sh", "-c", e.line}
			plans := strings.Contains(e.line, " --dry-run") || strings.Contains(e.line, " plan ")
			if plans && !strings.Contains(e.line, "--sdk-ref") || strings.Contains(e.line, " merge ") {
				want = cmd.ExitOK
			}
		} else {
			steps++
			run.Env = append(run.Env, "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE="+run.Dir, "GITHUB_OUTPUT="+run.Dir+"/output",
				"GITHUB_STEP_SUMMARY="+run.Dir+"/summary", "GITHUB_STATE="+run.Dir+"/state")
			run.Env = append(run.Env, e.inputs...)
			if slices.ContainsFunc(e.inputs, func(v string) bool { return strings.HasPrefix(v, "INPUT_MERGE=") }) {
				want = cmd.ExitOK
			} else if !slices.ContainsFunc(e.inputs, func(v string) bool { return strings.HasPrefix(v, "INPUT_SDK-REF=") }) {
				run.Env = append(run.Env, "INPUT_SDK-REF=v1.58.2") // it was an expression
			}
		}
		writeShards(t, run.Dir)
		all.Go(func() {
			out, err := run.CombinedOutput()
			if code := run.ProcessState.ExitCode(); code != want {
				t.Errorf("%s: %s%s\nends with code %d, want %d: %v\n%s", e.document, e.line, strings.Join(e.inputs, "\n"), code, want, err, out)
			}
		})
	}
	all.Wait()
	if lines < 5 || steps < 10 {
		t.Errorf("found %d command lines and %d steps", lines, steps)
	}
}

// writeShards writes the records of two shards, below the names that the examples have for them.
func writeShards(t *testing.T, dir string) {
	t.Helper()
	for i, folder := range []string{"shard-1", "shard-2", "shards/1", "shards/2"} {
		folder = filepath.Join(dir, folder)
		number := strconv.Itoa(i%2 + 1)
		summary := `{"total": 1, "started_at": "2026-11-24T12:00:00Z", "finished_at": "2026-11-24T12:10:00Z",
			"run": {"dataset": "d", "split": "test", "shard": "` + number + `/2", "planned": 1, "planned_total": 2}}`
		entry := `{"instance_id": "a__b-` + number + `", "status": "built", "tags": ["r/i:` + number + `"], "finished_at": "2026-11-24T12:02:00Z"}`
		err := errors.Join(os.MkdirAll(folder, 0o755),
			os.WriteFile(filepath.Join(folder, "build-summary.json"), []byte(summary), 0o644),
			os.WriteFile(filepath.Join(folder, "manifest.jsonl"), []byte(entry+"\n"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The table of what a run leaves has the names of all files in its folder.
func TestOperationHasEveryFileOfARecord(t *testing.T) {
	p := newProcess(t, "eval-images", "--sdk-ref", "v1.58.2", "--builder", "b", "--instance-ids", "django__django-11133", "--shard", "2/2")
	if out, err := p.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(filepath.Join(p.Dir, "builds/princeton-nlp/SWE-bench_Verified/test"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"logs/": true} // this run has made no log
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			name += "/"
		}
		left[name] = true
	}
	_, table, _ := strings.Cut(documents(t)["docs/operation.md"], "\n## What a run leaves\n")
	table, _, _ = strings.Cut(table, "\n\nThe first three")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented[row[1]] = true
	}
	if diff := cmp.Diff(left, documented); diff != "" {
		t.Errorf("docs/operation.md differs from a run (-run +documented)\n%s", diff)
	}

	// Other documents name no file that would have to be there, but is not.
	known := slices.Concat(slices.Collect(maps.Keys(left)), []string{"build-record.tar.gz"})
	for document, text := range documents(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			for _, name := range regexp.MustCompile(`[a-z.-]+\.(?:jsonl|json|html|tar\.gz|txt)\b`).FindAllString(block[1], -1) {
				if !slices.Contains(known, name) {
					t.Errorf("%s: an example names the file %s, which no run leaves", document, name)
				}
			}
		}
	}
}

// An example that reads the lock file asks for keys that it has.
func TestExamplesReadKeysOfTheLockFile(t *testing.T) {
	lock, err := json.Marshal(report.LockFile(ledger.Summary{}, []ledger.Entry{{InstanceID: "a__b-1", Status: outcome.Built, Tags: []string{"r/i:t"}}}))
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	for document, text := range documents(t) {
		for _, filter := range regexp.MustCompile(`jq .*?'(.+?)' images\.lock\.json`).FindAllStringSubmatch(text, -1) {
			for _, key := range regexp.MustCompile(`\.([a-z_]+)`).FindAllStringSubmatch(filter[1], -1) {
				reads++
				if !strings.Contains(string(lock), `"`+key[1]+`":`) {
					t.Errorf("%s: images.lock.json has no key %s: %s", document, key[1], lock)
				}
			}
		}
	}
	if reads < 3 {
		t.Errorf("found %d keys", reads)
	}
}

// Exit codes in documents are those of README.md, which are those of the program.
func TestDocumentsNameExitCodesThatExist(t *testing.T) {
	codes := []int{cmd.ExitOK, cmd.ExitFailed, cmd.ExitBadInput, cmd.ExitSetup, cmd.ExitCancelled}
	all := documents(t)
	_, table, _ := strings.Cut(all["README.md"], "\n## Exit codes\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var documented []int
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(table, -1) {
		code, _ := strconv.Atoi(row[1])
		documented = append(documented, code)
	}
	if diff := cmp.Diff(codes, documented); diff != "" {
		t.Errorf("README.md (-program +table)\n%s", diff)
	}
	for document, text := range all {
		for _, named := range regexp.MustCompile(`exit code (?:is )?(\d+)`).FindAllStringSubmatch(text, -1) {
			if code, _ := strconv.Atoi(named[1]); !slices.Contains(codes, code) {
				t.Errorf("%s names the exit code %d", document, code)
			}
		}
	}
}

// otherNames are names with a hyphen in documents that are no input, output or class of failure of this program.
var otherNames = []string{
	"source-minimal", "binary-minimal", "base-image-minimal", // stages of the SDK's Dockerfile
	"native-field",                       // a value of the output seam
	"eval-images", "eval-images-reserve", // a package, and a file in the builder
	"last-run",                      // a tag
	"build-images", "my-repository", // made up
}

// A name in documents is one of an input, a command, an output, a class of failure, or an input of a workflow. What changed of them is in the
// changelog, with their old names.
func TestDocumentsNameInputsThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, name := range otherNames {
		known[name] = true
	}
	for _, class := range failure.Classes() {
		known[string(class)] = true
	}
	help, err := exec.Command("eval-images", "--help").CombinedOutput() // has all commands, flags and benchmarks
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	for _, word := range regexp.MustCompile(`[a-z0-9]+(?:-[a-z0-9]+)+`).FindAllString(string(help), -1) {
		known[word] = true
	}
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "action.yml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`(?m)^ +([a-z-]+):$`).FindAllStringSubmatch(string(text), -1) {
			known[name[1]] = true
		}
	}
	named := regexp.MustCompile("`([a-z0-9]+(?:-[a-z0-9]+)+)(?::[^`]*)?`")
	block := regexp.MustCompile("(?ms)^```.*?^```$")
	names := 0
	for document, text := range documents(t) {
		if document == "docs/changelog.md" || strings.HasPrefix(document, "internal/") {
			continue
		}
		for _, name := range named.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
			names++
			if !known[name[1]] {
				t.Errorf("%s names %s, which is no input, output or class of failure", document, name[1])
			}
		}
	}
	if names < 200 {
		t.Errorf("found %d names", names)
	}
}
