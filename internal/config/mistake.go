package config

import (
	"fmt"
	"strings"
	"unicode"
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

// Nearest gives the known word that takes the fewest edits to make of word, the first of several. It gives "" when
// even that one differs in more than half: such a guess would only mislead.
func Nearest(word string, known []string) string {
	best, least := "", 0
	letters := []rune(word)
	for _, candidate := range known {
		theirs := []rune(candidate)
		d := distance(letters, theirs)
		if 2*d <= max(len(letters), len(theirs)) && (best == "" || d < least) {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements between two words, letter case not counted.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			replaced := diagonal
			if unicode.ToLower(a[i]) != unicode.ToLower(b[j]) {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// listed joins words for a sentence: "a, b or c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
