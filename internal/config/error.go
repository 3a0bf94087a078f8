package config

import (
	"fmt"
	"regexp"

	"github.com/OpenHands/eval-images/internal/spelling"
)

// InputError is an invalid input, together with what to do about it.
type InputError struct {
	// Input is the name of the input, "max-workers".
	Input string
	// Problem says in one line what is wrong. It quotes the value as it was typed, unless the value is a secret.
	Problem string
	// Fix is the text after "hint: ".
	Fix string
}

func (e *InputError) Error() string { return e.Input + ": " + e.Problem }

// Hint says what to do about it.
func (e *InputError) Hint() string { return e.Fix }

// maxQuoted keeps a value on one readable line, even if a whole file was pasted into an input.
const maxQuoted = 100

// maxSearched is how many bytes of a value are searched for secrets: more than a URL has. A value may have megabytes.
const maxSearched = 16 << 10

// Quote quotes a value on one line without the secrets of a URL in it, and cuts it if it is too long.
func Quote(value string) string {
	value = withoutSecrets(value[:min(len(value), maxSearched)])
	if short := []rune(value); len(short) > maxQuoted {
		return fmt.Sprintf("%q...", string(short[:maxQuoted]))
	}
	return fmt.Sprintf("%q", value)
}

// urlUser matches a URL up to its host if it names a user. A password may hold any character, even one that should have been
// escaped, so the last @ ends it. urlQuery matches a URL and its query or fragment.
var (
	urlUser  = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S*@`)
	urlQuery = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*[?#])\S+`)
)

// withoutSecrets hides the parts of the URLs in value that may be secret, even if they cannot be parsed.
func withoutSecrets(value string) string {
	return urlQuery.ReplaceAllString(urlUser.ReplaceAllString(value, "***@"), "$1***")
}

// Nearest returns the known word that is most similar to word, or "" if none is similar.
func Nearest(word string, known []string) string {
	if near := spelling.Near(word, known, 1); len(near) > 0 {
		return near[0]
	}
	return ""
}
