package config

import (
	"fmt"
	"strings"

	"github.com/OpenHands/eval-images/internal/spelling"
)

// Mistake is something wrong in what the user gave, together with what to do about it.
type Mistake struct {
	// Input is the input's name, "max-workers".
	Input string
	// Problem says in one line what is wrong, and quotes the value as it was typed unless it is a secret.
	Problem string
	// Fix is the text after "hint: ".
	Fix string
}

func (m *Mistake) Error() string { return m.Input + ": " + m.Problem }

// Hint says what to do about it.
func (m *Mistake) Hint() string { return m.Fix }

// quotedAtMost keeps a whole file that was pasted into an input, or a JSON line in a list of ids, to one readable line.
const quotedAtMost = 100

// Quote shows a value as it was typed, on one line and not too long.
func Quote(value string) string {
	if short := []rune(value); len(short) > quotedAtMost {
		return fmt.Sprintf("%q...", string(short[:quotedAtMost]))
	}
	return fmt.Sprintf("%q", value)
}

// Nearest gives the known word that was most likely meant by word, or "" where none is like it.
func Nearest(word string, known []string) string {
	if near := spelling.Near(word, known, 1); len(near) > 0 {
		return near[0]
	}
	return ""
}

// listed joins words for a sentence: "a, b or c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
