package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/report"
)

// The inputs are generated in both files; config/generate tests them.
func TestReadmeHasEveryOutput(t *testing.T) {
	action, err := os.ReadFile("action.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, outputs, _ := strings.Cut(string(action), "\noutputs:\n")
	declared := regexp.MustCompile(`(?m)^  ([a-z-]+):\n    description: (.*)$`).FindAllStringSubmatch(outputs, -1)
	if len(declared) < 10 {
		t.Fatalf("found %d outputs in action.yml", len(declared))
	}
	for _, d := range declared {
		if row := "| `" + d[1] + "` | " + d[2] + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}

// The README's table of failures says what the program does and hints at.
func TestReadmeHasEveryClassOfFailure(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	again := map[int]string{0: "no", 1: "once", 5: "yes"}
	for _, class := range build.Classes() {
		row := regexp.MustCompile("(?m)^\\| `" + string(class) + "` \\| .+ \\| (.+) \\| (.+) \\|$").FindSubmatch(readme)
		if row == nil || string(row[1]) != again[build.Further(class, 5)] || string(row[2]) != build.Hint(class) {
			t.Errorf("README.md has not the row of %s, tried again: %s, what to do: %s", class, again[build.Further(class, 5)], build.Hint(class))
		}
	}
}

// The README's table of what is said of rebases has the program's own words.
func TestReadmeHasTheWordsOfRebases(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "Of rebases, the summary")
	table, _, _ = strings.Cut(table, "\n\nA warning")
	said := report.Markdown(ledger.Summarize(ledger.Run{Rebase: ledger.Rebase{
		TreesCompared: true, Verified: []ledger.Verified{{Result: ledger.VerifiedFailed, TagsLeft: []string{"r/i:t"}}},
	}}, []ledger.Entry{{InstanceID: "a__b-1", Status: build.Built, StrategyReason: "ONBUILD"}}))
	said += strings.Join(config.Config{Strategy: config.StrategyNative, VerifyTree: true}.Warnings(), "\n")
	rows := regexp.MustCompile("(?m)^\\| `([^|]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(rows) < 6 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, row := range rows {
		for words := range strings.SplitSeq(row[1], "`, `") {
			if !strings.Contains(said, words) {
				t.Errorf("the program does not say %q", words)
			}
		}
	}
}
