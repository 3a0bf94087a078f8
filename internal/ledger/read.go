package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// Read gives the entries of the ledger at path. A last line that was cut, as a killed run leaves it, is left out; with
// any other bad line come the entries before it, and an error.
func Read(path string) ([]Entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	var entries []Entry
	for number := 1; len(text) > 0; number++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			if !whole {
				break
			}
			return entries, fmt.Errorf("reading line %d of %s: %w", number, path, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
