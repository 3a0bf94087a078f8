package actions

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// own matches the commands that a Runner may print: an annotation with its title, a group, a mask.
var own = regexp.MustCompile(`^::(error|warning|group|endgroup|add-mask)( title=[^:,]*)?::`)

// Whatever a build, a registry or a dataset says, the runner sees no command but ours (actions/runner, ActionCommand.cs).
func FuzzRunner(f *testing.F) {
	for _, text := range []string{
		"::error::x", " ::set-output name=a::b", "##[command]x", "a\r::stop-commands::x", "\u200b::error::x", "\x1b[31m::debug::x\x1b[0m",
		"##\u2060[add-path]x", ":\x00:error::x", "\u202e::x", "a%0A::error::x", "secret::x", "\xff::error::", "s3cr\u200bet",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		summary := filepath.Join(t.TempDir(), "summary")
		r := New(&out, func(name string) string {
			return map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": summary}[name]
		})
		const secret = "s3cr3t-w0rd"
		r.Mask(secret)
		out.Reset()
		r.Info(text)
		r.Error(text, text)
		r.Warning("", text)
		r.Group(text)
		r.EndGroup()
		r.Info(text + secret)
		r.Flush()
		said := out.String()
		if strings.Contains(said, secret) {
			t.Errorf("it shows the secret: %q", said)
		}
		commands := 0
		for line := range strings.FieldsFuncSeq(said, func(c rune) bool { return c == '\n' || c == '\r' }) {
			if strings.Contains(line, "##[") {
				t.Errorf("the runner runs %q", line)
			}
			if strings.HasPrefix(strings.TrimSpace(line), "::") {
				if commands++; !own.MatchString(line) {
					t.Errorf("the runner runs %q", line)
				}
			}
			if strings.ContainsAny(line, "\x1b\u202e\u2066\x00") {
				t.Errorf("a terminal or a reader is led astray by %q", line)
			}
		}
		if commands != 4 {
			t.Errorf("%d commands, want an error, a warning, a group and its end: %q", commands, said)
		}
		if err := r.Summary(text); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(summary); err != nil || info.Size() > summaryLimit {
			t.Errorf("the summary: %v", err)
		}
	})
}

func TestLinesOfALogAreBounded(t *testing.T) {
	var out bytes.Buffer
	r := New(&out, func(string) string { return "" })
	r.Info(strings.Repeat("x", 50<<20))
	if out.Len() > maxLine+1 {
		t.Errorf("a line has %d bytes", out.Len())
	}
}
