package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// plain contains the ASCII characters, besides letters and digits, that have no special meaning in Markdown, HTML or workflow
// commands within a line of text.
const plain = " .,-/=+%;?!(){}^'\""

// text escapes s, which is not trusted, as one line of Markdown of at most n characters. It writes special characters as numeric
// character references, which are never markup (CommonMark, "Entity and numeric character references"). This also hides "::" and
// "##[" from the runner, and prevents links, except for mail addresses, which GitHub links last.
func text(s string, n int) string {
	runes := []rune(oneLine(s, n))
	var out strings.Builder
	for i, r := range runes {
		if r > unicode.MaxASCII || isAlphanumeric(r) || strings.ContainsRune(plain, r) || r == '_' && inWord(runes, i) || r == ':' && isLoneColon(runes, i) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "&#%d;", r)
		}
	}
	return strings.ReplaceAll(out.String(), "www.", "www&#46;")
}

func isAlphanumeric(r rune) bool {
	return r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// isLoneColon reports whether the colon at i is neither part of "::", as in a workflow command, nor of "://" in a URL.
func isLoneColon(runes []rune, i int) bool {
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return ' '
		}
		return runes[i]
	}
	return at(i-1) != ':' && at(i+1) != ':' && at(i+1) != '/'
}

// inWord reports whether the underscores around i are between letters or digits, where they never mean emphasis. They are not
// escaped, because tokens contain underscores and the runner masks only exact matches of a secret.
func inWord(runes []rune, i int) bool {
	before, after := i, i
	for before >= 0 && runes[before] == '_' {
		before--
	}
	for after < len(runes) && runes[after] == '_' {
		after++
	}
	return before >= 0 && after < len(runes) && isAlphanumeric(runes[before]) && isAlphanumeric(runes[after])
}

// code is text in a code element. A Markdown code span cannot be used: it shows character references literally.
func code(s string, n int) string {
	if s == "" {
		return ""
	}
	return "<code>" + text(s, n) + "</code>"
}

// preformatted is text that keeps the line breaks of s, up to longText bytes, or "" without a text. Its lines wrap, so that a narrow page
// cuts nothing off.
func preformatted(s string) string {
	var out []string
	n := longText
	for line := range strings.Lines(s) {
		if n <= 0 {
			out = append(out, "…")
			break
		}
		if said := code(line, n); said != "<code></code>" {
			out = append(out, said)
		}
		n -= len(line)
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "<br>\n") + "\n"
}

// toCopy shows lines of YAML to copy. GitHub puts a button beside them.
func toCopy(lines ...string) string {
	var out []string
	for _, line := range lines {
		value := strings.TrimLeft(line, " ")
		out = append(out, line[:len(line)-len(value)]+text(value, shortValue))
	}
	return "<pre>" + strings.Join(out, "\n") + "</pre>\n"
}

// table returns a Markdown table of cells that are Markdown, or "" without rows.
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

// section returns a heading and its body, or "" without a body.
func section(heading string, body ...string) string {
	all := joinParts(body)
	if all == "" {
		return ""
	}
	return "### " + heading + "\n\n" + all
}

// block returns a part of the details with its name, or "" without a body.
func block(name string, body ...string) string {
	all := joinParts(body)
	if all == "" {
		return ""
	}
	return "**" + name + "**\n\n" + all
}

// details returns a part that is collapsed at first, or "" without a body.
func details(summary, body string) string {
	if body == "" {
		return ""
	}
	return "<details><summary>" + summary + "</summary>\n\n" + body + "\n</details>\n"
}

// joinParts joins the parts that are not empty.
func joinParts(parts []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(p string) bool { return p == "" }), "\n")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// missingOf says how many of some images are missing.
func missingOf(n int, of string) string {
	if n == 1 {
		return "1 of " + of + " is missing"
	}
	return strconv.Itoa(n) + " of " + of + " are missing"
}

// rebasedSuffix follows a count of built images, of which n were rebased.
func rebasedSuffix(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d rebased)", n)
}

// oneLine returns at most n characters of s, with spaces instead of line breaks and control characters.
func oneLine(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.In(r, unicode.Cf) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > n {
		s = string(runes[:n-1]) + "…"
	}
	return s
}

// Duration formats seconds as all reports do.
func Duration(seconds float64) string { return duration(seconds) }

// duration formats seconds as 4.2s, 1m 05s or 2h 03m 00s.
func duration(seconds float64) string {
	if seconds < 10 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	whole := int(math.Round(seconds))
	hours, minutes, rest := whole/3600, whole/60%60, whole%60
	switch {
	case hours > 0:
		return fmt.Sprintf("%dh %02dm %02ds", hours, minutes, rest)
	case minutes > 0:
		return fmt.Sprintf("%dm %02ds", minutes, rest)
	default:
		return fmt.Sprintf("%ds", rest)
	}
}

// age formats d in days or hours, or as a duration when it is shorter.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return duration(max(0, d).Seconds())
	}
}
