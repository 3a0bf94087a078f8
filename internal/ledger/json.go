package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Text is a string that is null in JSON when it is empty.
type Text string

// MarshalJSON writes null for "".
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return encode(string(t), "")
}

// encode is JSON without a line break at its end. Invalid UTF-8 becomes U+FFFD. A next line (U+0085) is escaped:
// encoding/json leaves it, and the benchmarks repository cuts lines with Python's splitlines, for which it is an end.
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

// WriteJSON replaces the file at path with v in one step: a reader finds the old or the new text, never a part.
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

func replace(path string, text []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // fails, as it should, once the file has its real name
	_, err = next.Write(text)
	for _, step := range []func() error{
		func() error { return next.Chmod(0o644) }, // CreateTemp's 0600 would hide the file from later steps: they are not root
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
