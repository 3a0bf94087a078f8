// Package spelling suggests known words for a misspelled one.
package spelling

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// maxWord is the length of the longest word that gets a suggestion, in characters.
const maxWord = 200

// Near returns up to limit known words, the most similar first. Letter case does not count. It leaves out words that
// differ in more than half of their letters: such a suggestion only misleads. It suggests nothing for a word longer than
// maxWord, which may be a whole file: a comparison takes time by the product of both lengths.
func Near(word string, known []string, limit int) []string {
	length := utf8.RuneCountInString(word)
	if length > maxWord {
		return nil
	}
	type suggestion struct {
		word     string
		distance int
	}
	var near []suggestion
	for _, candidate := range known {
		other := utf8.RuneCountInString(candidate)
		if 2*max(length-other, other-length) > max(length, other) { // this many letters differ at least
			continue
		}
		distance := levenshtein.Distance(strings.ToLower(word), strings.ToLower(candidate), nil)
		if 2*distance <= max(length, other) {
			near = append(near, suggestion{candidate, distance})
		}
	}
	slices.SortStableFunc(near, func(a, b suggestion) int { return cmp.Compare(a.distance, b.distance) })
	var words []string
	for _, s := range near[:min(limit, len(near))] {
		words = append(words, s.word)
	}
	return words
}

// Distance is the number of letters that have to be changed, left out or put in to make one word of another. Letter case does not count.
func Distance(a, b string) int {
	return levenshtein.Distance(strings.ToLower(a), strings.ToLower(b), nil)
}
