package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// maxCompared limits the images of a list in the comparison.
const maxCompared = 20

// compared says what has changed since an earlier run.
func compared(s ledger.Summary, c *ledger.Comparison) string {
	if c == nil {
		return ""
	}
	heading := "Compared with " + link("the run of "+StartOf(c), c.URL)
	lines := []string{fmt.Sprintf("- Missing: %d, before %d. Time: %s, before %s\n", s.Missing(), c.Missing, duration(s.WallClockSeconds), duration(c.Seconds))}
	if now := cmp.Or(string(s.Run.SDKSHA), s.Run.SDKRef); now != c.SDK {
		lines = append(lines, "- SDK: "+code(short(now), shortValue)+", before "+code(short(c.SDK), shortValue)+"\n")
	}
	for _, list := range []struct {
		what string
		ids  []string
	}{{"❌ Newly failing", c.NewlyFailing}, {"✅ Newly built", c.NewlyBuilt}} {
		var names []string
		for _, id := range list.ids[:min(maxCompared, len(list.ids))] {
			names = append(names, code(id, shortValue))
		}
		if len(names) < len(list.ids) {
			names = append(names, "…")
		}
		if len(names) > 0 {
			lines = append(lines, fmt.Sprintf("- %s: %d: %s\n", list.what, len(list.ids), strings.Join(names, ", ")))
		}
	}
	lines = append(lines, changes("Slower", c.Slower), changes("Faster", c.Faster))
	return section(heading, strings.Join(lines, ""))
}

// StartOf is when the earlier run began, in UTC.
func StartOf(c *ledger.Comparison) string { return c.StartedAt.UTC().Format("2006-01-02 15:04") }

func changes(what string, all []ledger.Change) string {
	var list []string
	for _, c := range all {
		name := code(c.InstanceID, shortValue)
		if c.InstanceID == "" {
			name = Median(c.Strategy)
		}
		list = append(list, fmt.Sprintf("%s %s, before %s", name, duration(c.Now), duration(c.Before)))
	}
	if len(list) == 0 {
		return ""
	}
	return "- " + what + ": " + strings.Join(list, "; ") + "\n"
}

// Median names the images of which a change is the median.
func Median(strategy ledger.Text) string {
	if strategy == outcome.Rebase {
		return "half of the rebased images within"
	}
	return "half of the native builds within"
}

// short returns the first characters of a commit's hash.
func short(sha string) string {
	if len(sha) == 40 {
		return sha[:7]
	}
	return sha
}
