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

// DiskUsed is how much of the disk with path is used, in percent, as df(1) counts: what only root may use is used up.
func DiskUsed(path string) (float64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("looking at the disk of %s: %w", path, err)
	}
	used, available := s.Blocks-s.Bfree, s.Bavail
	if used+available == 0 {
		return 0, fmt.Errorf("looking at the disk of %s: it has no size", path)
	}
	return 100 * float64(used) / float64(used+available), nil
}

// CacheSize is the size of a builder's cache in bytes, by buildx's word.
func (b Buildx) CacheSize(ctx context.Context, builder string) (int64, error) {
	b.Log = io.Discard // a line for each record
	said, err := b.run(ctx, []string{"buildx", "du", "--builder", builder})
	if err != nil {
		return 0, fmt.Errorf("measuring the builder's cache: %w", err)
	}
	return total(said)
}

// Prune removes what is used least recently of a builder's cache, but nothing that a running build uses, until keep bytes
// are left. It gives the bytes that were freed.
func (b Buildx) Prune(ctx context.Context, builder string, keep int64) (freed int64, err error) {
	b.Log = io.Discard // a line for each record
	help, err := b.run(ctx, []string{"buildx", "prune", "--help"})
	if err != nil {
		return 0, fmt.Errorf("pruning the builder's cache: %w", err)
	}
	said, err := b.run(ctx, pruneArgs(builder, keep, help))
	if err != nil {
		return 0, fmt.Errorf("pruning the builder's cache: %w", err)
	}
	return total(said)
}

// pruneArgs says how much to keep in the words of this buildx. A BuildKit before 0.17 knows the reserved space alone,
// which was called keep-storage, and without it prunes everything; a newer one that has both goes by the maximum.
func pruneArgs(builder string, keep int64, help string) []string {
	size := strconv.FormatInt(keep, 10)
	args := []string{"buildx", "prune", "--builder", builder, "--force", "--all"}
	if strings.Contains(help, "--max-used-space") {
		return append(args, "--reserved-space", size, "--max-used-space", size)
	}
	return append(args, "--keep-storage", size)
}

// total reads the sum at the end of buildx's tables: "Total:  1.2GB". A prune without anything to do prints none in some
// releases.
func total(said string) (int64, error) {
	if strings.TrimSpace(said) == "" {
		return 0, nil
	}
	size := field(said, "Total:")
	if size == "" {
		return 0, errors.New("reading buildx's table of the cache: it has no total")
	}
	n, err := units.FromHumanSize(size)
	if err != nil {
		return 0, fmt.Errorf("reading buildx's table of the cache: %w", err)
	}
	return n, nil
}
