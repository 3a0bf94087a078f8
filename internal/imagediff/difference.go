package imagediff

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Difference is one difference between two images.
type Difference struct {
	// What names it: "agent layer 1", "config Env PATH", "/agent-server/uv.lock".
	What string
	// Want and Got describe it in each image, for people. They are shortened, and omit values whose name says that they are
	// secret.
	Want, Got string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s", abbreviate(d.What), d.Want, d.Got)
}

// missing describes something that one of the images lacks.
const missing = "none"

// List returns the first limit differences, one per line, and the number of the others.
func List(found []Difference, limit int) string {
	var b strings.Builder
	for i, d := range found {
		if i == limit {
			fmt.Fprintf(&b, "and %d more\n", len(found)-limit)
			break
		}
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// maxShown is how many bytes of a value are shown.
const maxShown = 120

// abbreviate shortens a value so that it fits in a line, and quotes it if it has unprintable characters.
func abbreviate(value string) string {
	if len(value) > maxShown {
		value = strings.ToValidUTF8(value[:maxShown], "") + fmt.Sprintf("... (%d bytes)", len(value))
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}
