package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Key is a short hash of the inputs of something that is slow to make. The number, the order and the lengths of the
// inputs matter.
func Key(inputs ...string) string {
	sum := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(sum, "%d:%s", len(input), input)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// FilesKey is Key over the names and contents of all files.
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

// isMade reports whether a path of the cache was made. An empty folder was not: the engine makes one when it starts a container after the
// cache was deleted, of which the container has a file or folder.
func isMade(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return err == nil
	}
	entries, err := os.ReadDir(path)
	return err != nil || len(entries) > 0
}

// Cached returns the path name-key in the cache. If it does not exist, create makes it as a file or folder under
// another name first, so that nobody sees it half made. Paths of earlier keys are removed.
func (e *Engine) Cached(name, key string, create func(path string) error) (string, error) {
	path := filepath.Join(e.Cache, name+"-"+key)
	if isMade(path) {
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
