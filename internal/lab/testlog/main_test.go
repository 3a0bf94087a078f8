package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goTest runs go test -json on a module with these files.
func goTest(t *testing.T, files map[string]string) []byte {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/m\n"
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-vet=off", "./...")
	cmd.Dir = dir
	out, _ := cmd.Output() // it fails where the test asks for that
	return out
}

func TestFailedTestsAreShownAndOthersAreNot(t *testing.T) {
	cases := []struct {
		name, body string
		verbose    bool
		shown      []string
		hidden     []string
	}{
		{
			name: "one of two fails", body: "func TestA(t *testing.T) { t.Log(`of a`) }\nfunc TestB(t *testing.T) { t.Error(`of b`) }",
			shown: []string{"of b", "--- FAIL: TestB", "FAIL\texample.com/m"}, hidden: []string{"of a"},
		},
		{
			name: "a subtest fails", body: "func TestA(t *testing.T) { t.Run(`x`, func(t *testing.T) { t.Error(`of x`) }) }",
			shown: []string{"of x", "--- FAIL: TestA/x"},
		},
		{
			name: "all pass", body: "func TestA(t *testing.T) { t.Log(`of a`) }",
			shown: []string{"ok  \texample.com/m"}, hidden: []string{"of a", "PASS"},
		},
		{
			name: "all pass, verbose", body: "func TestA(t *testing.T) { t.Log(`of a`) }", verbose: true,
			shown: []string{"of a", "--- PASS: TestA", "ok  \texample.com/m"},
		},
		{
			name: "a test ends the process", body: "func TestA(t *testing.T) { go panic(`of a`); select {} }",
			shown: []string{"panic: of a", "FAIL\texample.com/m"},
		},
		{
			name: "it does not compile", body: "func TestA(t *testing.T) { missing() }",
			shown: []string{"undefined: missing", "FAIL\texample.com/m [build failed]"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := goTest(t, map[string]string{"m_test.go": "package m\n\nimport `testing`\n\n" + c.body + "\n"})
			var out bytes.Buffer
			if _, err := show(bytes.NewReader(in), &out, c.verbose, true); err != nil {
				t.Fatal(err)
			}
			for _, text := range c.shown {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not show %q:\n%s", text, out.String())
				}
			}
			for _, text := range c.hidden {
				if strings.Contains(out.String(), text) {
					t.Errorf("shows %q:\n%s", text, out.String())
				}
			}
		})
	}
}

func TestSlowestComesFirst(t *testing.T) {
	const in = `{"Action":"pass","Package":"github.com/OpenHands/eval-images/internal/a","Test":"TestA","Elapsed":1}
{"Action":"pass","Package":"github.com/OpenHands/eval-images","Test":"TestB/sub","Elapsed":9.3}
{"Action":"pass","Package":"github.com/OpenHands/eval-images","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"github.com/OpenHands/eval-images","Elapsed":30}
{"Action":"fail","Package":"github.com/OpenHands/eval-images/internal/a","Test":"TestC","Elapsed":2}
`
	tests, err := show(strings.NewReader(in), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	printSlowest(&out, tests, 2)
	if diff := cmp.Diff("     9.3 s  TestB/sub  github.com/OpenHands/eval-images\n     2.0 s  TestC  internal/a\n", out.String()); diff != "" {
		t.Error(diff)
	}
}
