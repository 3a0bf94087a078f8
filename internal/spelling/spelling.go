// Package spelling suggests known words for a misspelled one.
package spelling

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// Near returns up to limit known words, the most similar first. Letter case does not count. It leaves out words that
// differ in more than half of their letters: such a suggestion only misleads.
func Near(word string, known []string, limit int) []string {
	type suggestion struct {
		word     string
		distance int
	}
	var near []suggestion
	for _, candidate := range known {
		distance := levenshtein.Distance(strings.ToLower(word), strings.ToLower(candidate), nil)
		if 2*distance <= max(utf8.RuneCountInString(word), utf8.RuneCountInString(candidate)) {
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
