package sdk

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dockerfile is the text of the SDK's Dockerfile.
func (c Checkout) Dockerfile() (string, error) {
	text, err := os.ReadFile(filepath.Join(c.Root, dockerfile))
	if err != nil {
		return "", fmt.Errorf("reading the SDK's Dockerfile: %w", err)
	}
	return string(text), nil
}
