package report

import (
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
)

func TestMarkdownTellsOfPrunes(t *testing.T) {
	prune := ledger.Pruning{At: time.Unix(0, 0), DiskUsedPercent: 71, FreedBytes: 1_500_000_000}
	cases := []struct {
		name  string
		prune []ledger.Pruning
		want  string
	}{
		{"none", nil, ""},
		{"one", []ledger.Pruning{prune}, "cache was pruned 1 time: 1.5GB freed."},
		{"two", []ledger.Pruning{prune, prune}, "cache was pruned 2 times: 3GB freed."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Markdown(ledger.Summarize(ledger.Run{Title: "x", Planned: 1, Pruned: c.prune}, nil))
			if !strings.Contains(got, c.want) || strings.Contains(got, "pruned") != (c.want != "") {
				t.Errorf("want %q in\n%s", c.want, got)
			}
		})
	}
}
