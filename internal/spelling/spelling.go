// Package spelling finds the word that somebody meant.
package spelling

import (
	"cmp"
	"slices"
	"unicode"
)

// Near gives the known words that take the fewest edits to make of word, the nearest first, at most so many; of equally
// near ones the first given comes first. It leaves out those that differ in more than half: such a guess would only
// mislead.
func Near(word string, known []string, most int) []string {
	type guess struct {
		word string
		away int
	}
	letters := []rune(word)
	var guesses []guess
	for _, candidate := range known {
		theirs := []rune(candidate)
		if away := distance(letters, theirs); 2*away <= max(len(letters), len(theirs)) {
			guesses = append(guesses, guess{candidate, away})
		}
	}
	slices.SortStableFunc(guesses, func(a, b guess) int { return cmp.Compare(a.away, b.away) })
	var words []string
	for _, g := range guesses[:min(most, len(guesses))] {
		words = append(words, g.word)
	}
	return words
}

// distance is Levenshtein's: the insertions, deletions and replacements between two words, letter case not counted.
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
