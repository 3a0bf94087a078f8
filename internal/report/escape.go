package report

import (
	"fmt"
	"strings"
	"unicode"
)

// plain are the ASCII characters, beside letters and digits, that mean nothing to Markdown, HTML or a runner within a
// line of text.
const plain = " .,-/=+%;?!(){}^'\""

// text is s, which may come from anywhere, as one line of Markdown that shows just its characters, at most n of them.
// Whatever could be markup is written as a character reference, which Markdown never takes for markup (CommonMark,
// "Entity and numeric character references"). That also keeps "::" and "##[" from a runner, and URLs from being links (only
// mail addresses become some nevertheless: GitHub looks for them last).
func text(s string, n int) string {
	runes := []rune(oneLine(s, n))
	var out strings.Builder
	for i, r := range runes {
		if r > unicode.MaxASCII || word(r) || strings.ContainsRune(plain, r) || r == '_' && inWord(runes, i) || r == ':' && lone(runes, i) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "&#%d;", r)
		}
	}
	return strings.ReplaceAll(out.String(), "www.", "www&#46;")
}

func word(r rune) bool { return r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// lone says whether the colon at i is neither a part of "::", which a runner looks for, nor of a URL's "://".
func lone(runes []rune, i int) bool {
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return ' '
		}
		return runes[i]
	}
	return at(i-1) != ':' && at(i+1) != ':' && at(i+1) != '/'
}

// inWord says whether the underscores around i have letters or digits on both sides, where they never mean emphasis.
// They stay as they are because a runner masks what it knows as secret in the text of a summary, and tokens have them.
func inWord(runes []rune, i int) bool {
	before, after := i, i
	for before >= 0 && runes[before] == '_' {
		before--
	}
	for after < len(runes) && runes[after] == '_' {
		after++
	}
	return before >= 0 && after < len(runes) && word(runes[before]) && word(runes[after])
}

// code is text in the look of code: a Markdown code span would show the references, and end at a backtick.
func code(s string, n int) string {
	if s == "" {
		return ""
	}
	return "<code>" + text(s, n) + "</code>"
}

// lines is s as preformatted lines.
func lines(s string, n int) string {
	var out []string
	for line := range strings.Lines(s) {
		if n <= 0 {
			out = append(out, "…")
			break
		}
		out = append(out, text(line, n))
		n -= len(line)
	}
	return "<pre>" + strings.Join(out, "\n") + "</pre>"
}

// table is a Markdown table; its cells are Markdown already. Without rows it is nothing.
func table(header []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var out strings.Builder
	line := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return out.String()
}

// section is a headed part; without a body it is nothing.
func section(heading string, body ...string) string {
	whole := strings.Join(nonEmpty(body), "\n")
	if whole == "" {
		return ""
	}
	return "### " + heading + "\n\n" + whole
}

// folded is a part that a reader opens when wanted.
func folded(summary, body string) string {
	if body == "" {
		return ""
	}
	return "<details><summary>" + summary + "</summary>\n\n" + body + "\n</details>\n"
}

func nonEmpty(parts []string) []string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}
