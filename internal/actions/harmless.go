package actions

import (
	"regexp"
	"strings"
	"unicode"
)

// ansi is a terminal's control sequence, such as for colour.
var ansi = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// harmless makes one line of a text in which the runner finds no command. The runner (actions/runner ActionCommand.cs,
// OutputManager.cs) takes a line for a command when it begins with :: after blanks, or holds ##[ anywhere, and its
// reader ends a line also at a bare carriage return.
func harmless(text string) string {
	text = ansi.ReplaceAllString(strings.TrimRight(text, "\r\n"), "")
	text = strings.Map(visible, strings.ToValidUTF8(text, "\ufffd"))
	// Not parted by an invisible character: .NET's comparisons may pass over those.
	text = strings.ReplaceAll(text, "##[", "# #[")
	if strings.HasPrefix(strings.TrimSpace(text), "::") {
		text = "| " + text
	}
	return text
}

// visible makes a blank of every kind of space or line break, and drops what cannot be seen: it could hide a command
// from harmless that the runner still sees.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
		return ' '
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return -1
	default:
		return r
	}
}
