package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README's tables say what action.yml says; config's own test holds action.yml to the program.
func TestReadmeHasEveryInputAndOutput(t *testing.T) {
	action, err := os.ReadFile("action.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^  ([a-z-]+):\n    description: (.*)$`).FindAllStringSubmatch(string(action), -1)
	if len(declared) < 30 {
		t.Fatalf("found %d inputs and outputs in action.yml", len(declared))
	}
	for _, d := range declared {
		if row := "| `" + d[1] + "` | " + d[2] + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}
