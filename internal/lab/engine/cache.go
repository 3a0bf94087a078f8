package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Key is a short hash of what a made thing depends on: change an input, and its name changes. The order of the inputs
// counts, and where one ends.
func Key(inputs ...string) string {
	sum := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(sum, "%d:%s", len(input), input)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// FilesKey is Key over the names and contents of all files of a file system.
func FilesKey(files fs.FS, inputs ...string) (string, error) {
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		inputs = append(inputs, path, string(content))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hashing files: %w", err)
	}
	return Key(inputs...), nil
}

// Cached gives the path of name-key in the cache, and makes it first if need be: in a place of its own, so that nobody
// ever sees it half made. What an earlier key left is removed. create may leave a file or a folder.
func (e *Engine) Cached(name, key string, create func(path string) error) (string, error) {
	path := filepath.Join(e.Cache, name+"-"+key)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	const anyKey = "-????????????????" // as long as a Key
	old, err := filepath.Glob(filepath.Join(e.Cache, name+anyKey))
	if err != nil {
		return "", fmt.Errorf("looking for old %s: %w", name, err)
	}
	unfinished := filepath.Join(e.Cache, name+".unfinished")
	for _, path := range append(old, unfinished) {
		if err := os.RemoveAll(path); err != nil {
			return "", fmt.Errorf("removing old %s: %w", name, err)
		}
	}
	if err := create(unfinished); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	return path, nil
}
