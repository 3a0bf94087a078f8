package report

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

// escaped matches Markdown that is text and nothing else: words, punctuation without a meaning, and character references.
var escaped = regexp.MustCompile(`^(?:[A-Za-z0-9_ .,\-/=+%;?!(){}^'":]|[^\x00-\x7f]|&#[0-9]+;)*$`)

// ganttText matches a label in which Mermaid finds no syntax.
var ganttText = regexp.MustCompile(`^✓ [A-Za-z0-9._/ ·…-]*, 1\.0s$`)

// No text from outside becomes markup, a link, a mention or a workflow command, and every reader sees it as it was.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"a_b", "<img src=x onerror=alert(1)>", "[x](javascript:x)", "https://x.y www.x.y a@b.c @all #1", "| a |\n---", "`x` ~~a~~ **b** _c_ __d__",
		"::error::x ##[group]", "\u202eabc\u2066", "&lt;&#60;", "\x1b[31m", "a\\|b", ":a:", "$x^2$", "</code></pre></details>",
	} {
		f.Add(s, 100)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 2 + max(0, n%5000)
		said := text(s, n)
		if !escaped.MatchString(said) || strings.Contains(said, "::") || strings.Contains(said, "://") || strings.Contains(said, "www.") {
			t.Errorf("text(%q) = %q", s, said)
		}
		if got, want := html.UnescapeString(said), oneLine(s, n); got != want {
			t.Errorf("text(%q) is read as %q, want %q", s, got, want)
		}
		if lines := strings.Count(preformatted(s), "\n"); lines > strings.Count(s, "\n")+1 {
			t.Errorf("preformatted(%q) has %d lines", s, lines)
		}
		if label := newGanttBar("✓", s, "", noon, 1).label; !ganttText.MatchString(label) {
			t.Errorf("the label of %q is %q", s, label)
		}
		if length := len([]rune(oneLine(s, n))); length > n {
			t.Errorf("%d characters, want %d at most", length, n)
		}
	})
}
