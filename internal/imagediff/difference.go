package imagediff

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Difference is one thing in which two images differ.
type Difference struct {
	// What names it: "agent layer 1", "config Env PATH", "/agent-server/uv.lock".
	What string
	// Want and Got describe it in each image. They are for people, shortened, and hold no value whose name says that
	// it is secret.
	Want, Got string
}

func (d Difference) String() string { return fmt.Sprintf("%s: want %s, got %s", d.What, d.Want, d.Got) }

// missing describes what one of the images does not have.
const missing = "none"

// List gives the first most differences, a line each, and says how many more there are.
func List(found []Difference, most int) string {
	var b strings.Builder
	for i, d := range found {
		if i == most {
			fmt.Fprintf(&b, "and %d more\n", len(found)-most)
			break
		}
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// longest is how many bytes of a value are shown.
const longest = 120

// short cuts a value at a length that fits a line, and quotes what could break one.
func short(value string) string {
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + fmt.Sprintf("... (%d bytes)", len(value))
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}
