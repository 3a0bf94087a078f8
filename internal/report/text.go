package report

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

// oneLine is s without line breaks and other control characters, at most n characters long.
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

// duration is how people say a number of seconds: 4.2s, 1m 05s, 2h 03m 00s.
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
