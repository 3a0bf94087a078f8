package actions

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestAnnotationBudget(t *testing.T) {
	cases := []struct {
		errors    int
		atOnce    int    // annotations before Flush
		lines     int    // plain lines
		afterward string // what Flush prints
	}{
		{0, 0, 0, ""},
		{1, 1, 0, ""},
		{9, 9, 0, ""},
		{10, 9, 1, "::error title=image 9::no such base\n"},
		{11, 9, 2, "::error title=2 more errors::They are in the log and in the summary:%0Aimage 9%0Aimage 10\n"},
		{500, 9, 491, "::error title=491 more errors::They are in the log and in the summary:%0Aimage 9%0A"},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.errors), func(t *testing.T) {
			s := newStep(t)
			for i := range tc.errors {
				s.Error(fmt.Sprintf("image %d", i), "no such base")
			}
			before := s.printed.String()
			if got := strings.Count(before, "::error title="); got != tc.atOnce {
				t.Errorf("%d annotations at once, want %d", got, tc.atOnce)
			}
			if got := strings.Count(before, "error: image "); got != tc.lines {
				t.Errorf("%d plain lines, want %d", got, tc.lines)
			}
			s.printed.Reset()
			s.Flush()
			if got := s.printed.String(); !strings.HasPrefix(got, tc.afterward) || tc.afterward == "" && got != "" {
				t.Errorf("Flush prints %q, want %q", got, tc.afterward)
			}
		})
	}
}

func TestBudgetsAreApartAndFlushedOnce(t *testing.T) {
	s := newStep(t)
	for i := range 30 {
		s.Error("e", fmt.Sprint(i))
		s.Warning("w", fmt.Sprint(i))
	}
	s.Flush()
	s.Error("late", "x")
	s.Warning("late", "x")
	s.Flush()
	printed := s.printed.String()
	got := map[string]int{
		"errors": strings.Count(printed, "::error "), "warnings": strings.Count(printed, "::warning "),
		"late": strings.Count(printed, "error: late: x\n") + strings.Count(printed, "warning: late: x\n"),
	}
	if diff := cmp.Diff(map[string]int{"errors": 10, "warnings": 10, "late": 2}, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestAnnotationLengths(t *testing.T) {
	s := newStep(t)
	s.Error("x"+strings.Repeat("ä", 300), "first\nsecond: "+strings.Repeat("ö", 5000))
	for i := range 500 {
		s.Warning(fmt.Sprintf("title %d", i), "x")
	}
	s.Flush()
	for line := range strings.Lines(s.printed.String()) {
		command, rest, ok := strings.Cut(strings.TrimPrefix(line, "::"), "::")
		if !ok {
			continue
		}
		_, title, _ := strings.Cut(command, "title=")
		message := strings.ReplaceAll(strings.TrimSuffix(rest, "\n"), "%0A", "\n")
		if utf8.RuneCountInString(title) > 255 || utf8.RuneCountInString(message) > 4096 || !utf8.ValidString(line) {
			t.Errorf("a title of %d and a message of %d characters: %.80s", utf8.RuneCountInString(title), utf8.RuneCountInString(message), line)
		}
	}
	if want := "::first\nsecond: ö"; !strings.Contains(strings.ReplaceAll(s.printed.String(), "%0A", "\n"), want) {
		t.Errorf("the message lost its lines: %.400s", s.printed)
	}
}

func TestAnnotationWithoutTitle(t *testing.T) {
	s := newStep(t)
	s.Error("", "100% wrong")
	if got, want := s.printed.String(), "::error::100%25 wrong\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
