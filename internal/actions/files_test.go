package actions

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeOutputs reads an output file as the runner does: name=value, or name<<delimiter with lines up to the delimiter.
func fakeOutputs(t *testing.T, text string) map[string]string {
	t.Helper()
	outputs := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines) && text != ""; i++ {
		name, delimiter, multiline := strings.Cut(lines[i], "<<")
		if !multiline {
			name, value, ok := strings.Cut(lines[i], "=")
			if !ok {
				t.Fatalf("the runner refuses the line %q", lines[i])
			}
			outputs[name] = value
			continue
		}
		var value []string
		for i++; i < len(lines) && lines[i] != delimiter; i++ {
			value = append(value, lines[i])
		}
		outputs[name] = strings.Join(value, "\n")
	}
	return outputs
}

func TestOutput(t *testing.T) {
	s := newStep(t)
	want := map[string]string{
		"total": "12", "failed-instances": `["a__b-1","c<<d"]`, "sdist-seconds": "", "manifest": "builds/a b/x=y.jsonl",
	}
	for name, value := range want {
		if err := s.Output(name, value); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(want, fakeOutputs(t, read(t, s.output))); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestOutputRefuses(t *testing.T) {
	cases := []struct{ name, value string }{
		{"total", "1\nbuilt=9"},
		{"total", "1\rbuilt=9"},
		{"total", "x\r\n_GitHubActionsFileCommandDelimeter_\r\nbuilt=9"},
		{"total", "_GitHubActionsFileCommandDelimeter_"},
		{"total\nbuilt", "1"},
		{"total<<x", "1"},
		{"", "1"},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprintf("%q=%q", tc.name, tc.value), func(t *testing.T) {
			s := newStep(t)
			if err := s.Output(tc.name, tc.value); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %v, want one line", err)
			}
			if written := read(t, s.output); written != "" {
				t.Errorf("wrote %q", written)
			}
		})
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	cases := map[string]map[string]string{
		"no such folder": {"GITHUB_OUTPUT": "/no/such/file", "GITHUB_STEP_SUMMARY": "/no/such/file"},
		"not named":      {},
		"a folder":       {"GITHUB_OUTPUT": "/", "GITHUB_STEP_SUMMARY": "/"},
	}
	for name, env := range cases {
		t.Run(name, func(t *testing.T) {
			env["GITHUB_ACTIONS"] = "true"
			r := New(&bytes.Buffer{}, environment(env))
			if err := r.Output("total", "1"); err == nil || !strings.Contains(err.Error(), "writing output total") {
				t.Errorf("Output: error is %v", err)
			}
			if err := r.Summary("x"); err == nil || !strings.Contains(err.Error(), "writing the step summary") {
				t.Errorf("Summary: error is %v", err)
			}
			// A lock that a panic left behind would hang here.
			r.Info("still there")
		})
	}
}

func TestSummaryIsRewrittenInPlace(t *testing.T) {
	s := newStep(t)
	before, err := os.Stat(s.summary)
	if err != nil {
		t.Fatal(err)
	}
	for _, markdown := range []string{"# A long first one\n\nwith text\n", "# Short\n", "", "# Again, and longer than before\n"} {
		if err := s.Summary(markdown); err != nil {
			t.Fatal(err)
		}
		if got := read(t, s.summary); got != markdown {
			t.Errorf("the file holds %q, want %q", got, markdown)
		}
	}
	if after, err := os.Stat(s.summary); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced (%v): the runner has the first one", err)
	}
}

func TestSummaryLength(t *testing.T) {
	row := "| " + strings.Repeat("ä", 48) + " |\n"
	cases := map[string]struct {
		markdown string
		whole    bool
	}{
		"just short enough": {strings.Repeat("x", summaryLimit-1), true},
		"one too many":      {strings.Repeat(row, summaryLimit/len(row)) + row[:summaryLimit%len(row)], false},
		"very long":         {strings.Repeat(row, 50_000), false},
		"one line":          {strings.Repeat("ä", summaryLimit), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStep(t)
			if err := s.Summary(tc.markdown); err != nil {
				t.Fatal(err)
			}
			got := read(t, s.summary)
			if len(got) >= summaryLimit {
				t.Errorf("%d bytes", len(got))
			}
			if whole := got == tc.markdown; whole != tc.whole {
				t.Errorf("whole is %v, want %v", whole, tc.whole)
			}
			kept, truncate := strings.CutSuffix(got, summaryCut)
			if truncate == tc.whole || !strings.HasPrefix(tc.markdown, kept) {
				t.Errorf("truncate is %v; the beginning is kept: %v", truncate, strings.HasPrefix(tc.markdown, kept))
			}
			if strings.Contains(kept, "\n") && !strings.HasSuffix(kept, "|") {
				t.Errorf("a row is left half: %q", kept[len(kept)-20:])
			}
		})
	}
}

func TestSummaryFileIsMadeWhenAbsent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary")
	r := New(&bytes.Buffer{}, environment(map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": file}))
	if err := r.Summary("x"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, file); got != "x" {
		t.Errorf("the file holds %q", got)
	}
}

func TestSaveState(t *testing.T) {
	cases := []struct {
		name, state, value string
		file, fails        bool
	}{
		{"a plain word", "builder", "eval-images-run-1", true, false},
		{"a second line could be a further state", "builder", "a\nb=c", true, true},
		{"a name that is none", "a b", "c", true, true},
		{"a runner that wants no state", "builder", "a", false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			variables := map[string]string{"GITHUB_ACTIONS": "true"}
			file := filepath.Join(t.TempDir(), "state")
			if c.file {
				variables["GITHUB_STATE"] = file
			}
			err := New(&bytes.Buffer{}, environment(variables)).SaveState(c.state, c.value)
			if (err != nil) != c.fails {
				t.Fatalf("SaveState = %v, want an error: %v", err, c.fails)
			}
			if c.fails {
				return
			}
			want := c.state + "<<" + libraryDelimiter + "\n" + c.value + "\n" + libraryDelimiter + "\n"
			if got := read(t, file); got != want {
				t.Errorf("the file holds %q, want %q", got, want)
			}
		})
	}
}

func TestState(t *testing.T) {
	r := New(&bytes.Buffer{}, environment(map[string]string{"STATE_builder": "b"}))
	if got := r.State("builder") + r.State("absent"); got != "b" {
		t.Errorf("State = %q, want b", got)
	}
}
