package actions

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// step is a Runner with real files, as one step of a job has them.
type step struct {
	*Runner
	printed         *bytes.Buffer
	output, summary string
}

func newStep(t *testing.T) step {
	t.Helper()
	dir := t.TempDir()
	s := step{printed: &bytes.Buffer{}, output: filepath.Join(dir, "output"), summary: filepath.Join(dir, "summary")}
	for _, file := range []string{s.output, s.summary} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Runner = New(s.printed, environment(map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": s.output, "GITHUB_STEP_SUMMARY": s.summary,
		"INPUT_MAX-WORKERS": " 4\n",
	}))
	return s
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// fakeRunner finds what the real runner would take for commands in a step's output: a line, which a bare carriage
// return also ends, that begins with :: after blanks, or that holds ##[ anywhere.
func fakeRunner(printed string) []string {
	var commands []string
	for _, line := range strings.FieldsFunc(printed, func(r rune) bool { return r == '\n' || r == '\r' }) {
		invisible := func(r rune) rune {
			if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
				return -1
			}
			return r
		}
		line = strings.Map(invisible, line)
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") {
			commands = append(commands, line)
		}
	}
	return commands
}

var injections = []string{
	"::error::x",
	"  \t::error::x",
	"\u00a0\u2003::error::x",
	"10%\r::error::x",
	"fine\n::add-mask::a",
	"fine\r\n::stop-commands::x\r\n",
	"\x1b[31m::error::x\x1b[0m",
	"\x00::error::x",
	"\u200b::error::x",
	"\ufeff::error::x",
	":\u200b:error::x",
	"\x1b[0m:\x1b[1m:error::x",
	"##[error]x",
	"anywhere in a line ##[group]x",
	"#\u200d#[error]x",
	"##\x07[error]x",
	"####[error]x ##[a] ##[b]",
	"#\x1b[0m#[error]x",
	"a\u0085::error::x",
	"a\u2028::error::x",
	"a\v::error::x\f::error::y",
	"##\xff[x",
}

func TestNothingPrintedIsACommand(t *testing.T) {
	ways := map[string]func(*Runner, string){
		"Info":                func(r *Runner, s string) { r.Info(s) },
		"Group, no runner":    func(r *Runner, s string) { r.inActions = false; r.Group(s); r.EndGroup() },
		"Error, no runner":    func(r *Runner, s string) { r.inActions = false; r.Error(s, s) },
		"Error, over budget":  func(r *Runner, s string) { r.errors.spent = annotationsPerStep; r.Error("", s) },
		"Warning, no runner":  func(r *Runner, s string) { r.inActions = false; r.Warning("", s) },
		"Warning, and a line": func(r *Runner, s string) { r.warnings.spent = 9; r.Warning(s, "a\n"+s) },
	}
	for way, call := range ways {
		for _, injection := range injections {
			t.Run(fmt.Sprintf("%s %q", way, injection), func(t *testing.T) {
				s := newStep(t)
				call(s.Runner, injection)
				if found := fakeRunner(s.printed.String()); len(found) > 0 {
					t.Errorf("printed %q, in which the runner finds %q", s.printed, found)
				}
				// An annotation's message may have lines of its own; all else is one line.
				one := way == "Info" || strings.HasPrefix(way, "Group")
				if lines := strings.Count(s.printed.String(), "\n"); one && lines != 1 {
					t.Errorf("printed %d lines: %q", lines, s.printed)
				}
			})
		}
	}
}

// Commands that are meant stay one command whatever they are about.
func TestMeantCommandsCarryNoOthers(t *testing.T) {
	for _, injection := range injections {
		t.Run(fmt.Sprintf("%q", injection), func(t *testing.T) {
			s := newStep(t)
			s.Group(injection)
			s.Error(injection, injection)
			s.Warning("title=x,file=/etc/passwd::"+injection, injection)
			found := fakeRunner(s.printed.String())
			if len(found) != 3 || !strings.HasPrefix(found[0], "::group::") ||
				!strings.HasPrefix(found[1], "::error title=") || !strings.HasPrefix(found[2], "::warning title=title=x%2Cfile=/etc/passwd%3A%3A") {
				t.Errorf("the runner finds %q", found)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	cases := map[string]string{
		"plain, %s and 100%":      "plain, %s and 100%",
		"a\tb":                    "a b",
		"\x1b[1;31mred\x1b[0m":    "red",
		"trailing\r\n":            "trailing",
		"::error::x":              "| ::error::x",
		"a ##[b]":                 "a # #[b]",
		"std::vector::at":         "std::vector::at",
		"Umlaut äöü ✅ 画像":         "Umlaut äöü ✅ 画像",
		"bad \xff byte":           "bad \ufffd byte",
		"token hunter2 and hunt":  "token *** and hunt",
		"it is p##[w\tx":          "it is ***",
		"hunter22":                "***2",
		"hun\x1b[0mter2":          "***",
		"the longer, hunter2-and": "the longer, ***",
		"by https://u:pass@proxy:1, as http://u@h and a:b@c":            "by https://***@proxy:1, as http://***@h and a:b@c",
		`"http://me:p@ss@proxy:1" http://h/a@b`:                         `"http://***@proxy:1" http://h/a@b`,
		`Get "https://b.s3.test/x?X-Amz-Date=1&X-Amz-Signature=2": EOF`: `Get "https://b.s3.test/x?***": EOF`,
		"https://hub.test/x?verify=1-2%3D https://az.test/x?se=1&sig=2": "https://hub.test/x?*** https://az.test/x?***",
		"https://ghcr.io/token?scope=repository%3Ax&service=ghcr.io":    "https://ghcr.io/token?scope=repository%3Ax&service=ghcr.io",
	}
	for in, want := range cases {
		t.Run(fmt.Sprintf("%q", in), func(t *testing.T) {
			s := newStep(t)
			s.Mask("hunter2")
			s.Mask("hunter2-and")
			s.Mask("p##[w\tx")
			s.printed.Reset()
			s.Info(in)
			if got := s.printed.String(); got != want+"\n" {
				t.Errorf("printed %q, want %q", got, want)
			}
		})
	}
}

func TestMask(t *testing.T) {
	cases := map[string]struct{ secret, want string }{
		"one line":                 {"s3cret\n", "::add-mask::s3cret\n"},
		"each line":                {"line 1\r\n\n line 2 \n", "::add-mask::line 1\n::add-mask::line 2\n"},
		"no short line of several": {"{\n \"k\": \"v\",\n abc\n}\n", "::add-mask::\"k\": \"v\",\n"},
		"a short secret":           {"abc", "::add-mask::abc\n"},
		"nothing":                  {" \n ", ""},
		"escaped":                  {"a%b", "::add-mask::a%25b\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStep(t)
			s.Mask(tc.secret)
			s.Mask(tc.secret)
			if diff := cmp.Diff(tc.want, s.printed.String()); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretsAreNowhere(t *testing.T) {
	s := newStep(t)
	s.Mask("first\nsecond")
	s.printed.Reset()
	s.Group("first")
	s.Info("second")
	s.Error("first", "first\nsecond")
	s.Warning("second", "first")
	if err := s.Summary("| first | second |"); err != nil {
		t.Fatal(err)
	}
	everything := s.printed.String() + read(t, s.summary)
	if strings.Contains(everything, "first") || strings.Contains(everything, "second") || strings.Count(everything, "***") < 6 {
		t.Errorf("secrets are not hidden: %q", everything)
	}
}

func TestOutsideOfARunner(t *testing.T) {
	var printed bytes.Buffer
	r := New(&printed, environment(nil))
	if r.InActions() {
		t.Error("it takes itself for a step")
	}
	r.Mask("s3cret")
	r.Group("Building")
	r.Info("one s3cret")
	r.EndGroup()
	r.Warning("old engine", "20.10")
	for i := range 12 {
		r.Error("", fmt.Sprintf("image %d failed\nhint: look", i))
	}
	r.Flush()
	if err := errors.Join(r.Output("total", "1"), r.Summary("# Title")); err != nil {
		t.Error(err)
	}
	want := "Building\none ***\nwarning: old engine: 20.10\n"
	for i := range 12 {
		want += fmt.Sprintf("error: image %d failed\nhint: look\n", i)
	}
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestInput(t *testing.T) {
	s := newStep(t)
	if got := s.Input("max-workers"); got != "4" {
		t.Errorf("max-workers is %q, want 4", got)
	}
	if got := s.Input("absent"); got != "" {
		t.Errorf("absent is %q", got)
	}
}

func TestLinesStayWholeAmongGoroutines(t *testing.T) {
	s := newStep(t)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			s.Info("a line of one goroutine")
			s.Error("", fmt.Sprint(i))
			s.Output("n", "1")
			s.Mask(fmt.Sprint("secret", i))
		})
	}
	all.Wait()
	s.Flush()
	if n := strings.Count(s.printed.String(), "a line of one goroutine\n"); n != 50 {
		t.Errorf("%d whole lines, want 50", n)
	}
	if n := strings.Count(s.printed.String(), "::error"); n != 10 {
		t.Errorf("%d annotations, want 10", n)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAClosedLogEndsNothing(t *testing.T) {
	r := New(broken{}, environment(map[string]string{"GITHUB_ACTIONS": "true"}))
	r.Mask("x")
	r.Group("x")
	r.Info("x")
	r.Error("x", "x")
	r.Warning("x", "x")
	r.EndGroup()
	r.Flush()
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
