package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Text is a string whose empty value is null in JSON.
type Text string

// MarshalJSON encodes "" as null.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return encode(string(t), "")
}

// encode returns v as JSON without a trailing line break. Invalid UTF-8 becomes U+FFFD. It escapes U+0085, which
// encoding/json does not: OpenHands/benchmarks splits lines with Python's splitlines, which takes it for a line break.
func encode(v any, indent string) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\u0085"), []byte(`\u0085`)), nil
}

// WriteJSON atomically replaces the file at path with v as JSON.
func WriteJSON(path string, v any) error {
	text, err := encode(v, "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(path), err)
	}
	if err := replace(path, append(text, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// WriteLines atomically replaces the file at path with the lines.
func WriteLines(path string, lines []string) error {
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintln(&text, line)
	}
	return WriteFile(path, []byte(text.String()))
}

// WriteFile atomically replaces the file at path.
func WriteFile(path string, text []byte) error {
	if err := replace(path, text); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func replace(path string, text []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // fails after the rename, as it should
	_, err = next.Write(text)
	for _, step := range []func() error{
		func() error { return next.Chmod(0o644) }, // CreateTemp's 0600 hides the file from later steps, which are not root
		next.Sync,
		next.Close,
	} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
