package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/go-units"
)

// DiskUsed returns how much of the disk with path is used, in percent. Like df(1), it counts the blocks reserved for root as
// used.
func DiskUsed(path string) (float64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("checking the disk of %s: %w", path, err)
	}
	used, available := s.Blocks-s.Bfree, s.Bavail
	if used+available == 0 {
		return 0, fmt.Errorf("checking the disk of %s: it has no size", path)
	}
	return 100 * float64(used) / float64(used+available), nil
}

// CacheSize returns the size of a builder's cache in bytes, as buildx reports it.
func (b Buildx) CacheSize(ctx context.Context, builder string) (int64, error) {
	b.Log = io.Discard // it prints a line for each cache record
	output, err := b.run(ctx, []string{"buildx", "du", "--builder", builder})
	if err != nil {
		return 0, fmt.Errorf("measuring the builder's cache: %w", err)
	}
	return total(output)
}

// Prune removes the least recently used cache of a builder until keep bytes are left. It keeps what running builds use. It
// returns the number of bytes that it freed.
func (b Buildx) Prune(ctx context.Context, builder string, keep int64) (freed int64, err error) {
	b.Log = io.Discard // it prints a line for each cache record
	help, err := b.run(ctx, []string{"buildx", "prune", "--help"})
	if err != nil {
		return 0, fmt.Errorf("pruning the builder's cache: %w", err)
	}
	output, err := b.run(ctx, pruneArgs(builder, keep, help))
	if err != nil {
		return 0, fmt.Errorf("pruning the builder's cache: %w", err)
	}
	return total(output)
}

// pruneArgs uses the flags of this buildx. A BuildKit before 0.17 knows only the reserved space, whose flag was called
// keep-storage, and prunes everything without it. A newer BuildKit uses the maximum if it gets both.
func pruneArgs(builder string, keep int64, help string) []string {
	size := strconv.FormatInt(keep, 10)
	args := []string{"buildx", "prune", "--builder", builder, "--force", "--all"}
	if strings.Contains(help, "--max-used-space") {
		return append(args, "--reserved-space", size, "--max-used-space", size)
	}
	return append(args, "--keep-storage", size)
}

// total returns the sum at the end of buildx's tables: "Total:  1.2GB". Some releases print nothing if there was nothing to
// prune.
func total(output string) (int64, error) {
	if strings.TrimSpace(output) == "" {
		return 0, nil
	}
	size := field(output, "Total:")
	if size == "" {
		return 0, errors.New("reading buildx's table of the cache: it has no total")
	}
	n, err := units.FromHumanSize(size)
	if err != nil {
		return 0, fmt.Errorf("reading buildx's table of the cache: %w", err)
	}
	return n, nil
}
