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

// Space is the room on a disk, in bytes.
type Space struct {
	// Free is what a process that is not root may use. Total does not include the blocks reserved for root, as with df(1).
	Free, Total int64
	// NoInodes reports that no further file fits, however small.
	NoInodes bool
}

// String returns "1.2GB of 50GB".
func (s Space) String() string {
	text := humanSize(s.Free) + " of " + humanSize(s.Total)
	if s.NoInodes {
		text += " (but no inodes)"
	}
	return text
}

// Used returns how much of the disk is used, in percent.
func (s Space) Used() float64 { return 100 * float64(s.Total-s.Free) / float64(s.Total) }

// SpaceOf returns the room on the disk that path is on.
func SpaceOf(path string) (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Space{}, fmt.Errorf("checking the disk of %s: %w", path, err)
	}
	used, free, block := s.Blocks-s.Bfree, s.Bavail, blockSize(s)
	if used+free == 0 {
		return Space{}, fmt.Errorf("checking the disk of %s: it has no size", path)
	}
	return Space{Free: int64(free) * block, Total: int64(used+free) * block, NoInodes: s.Files > 0 && s.Ffree == 0}, nil
}

// rootFolder finds BuildKit's root in a builder's container. The second folder is that of the rootless image.
const rootFolder = `root=/var/lib/buildkit; [ -d $root ] || root=$HOME/.local/share/buildkit; `

// inBuilder runs a script in the container of a builder, with the folder $root.
func (b Buildx) inBuilder(ctx context.Context, builder, script string) (string, error) {
	b.Log = io.Discard // it is no part of the set-up
	return b.run(ctx, []string{"exec", containerOf(builder), "sh", "-c", rootFolder + script})
}

// RootSpace returns the room on the disk of a builder's root. The builder is a container of this engine.
func (b Buildx) RootSpace(ctx context.Context, builder string) (Space, error) {
	output, err := b.inBuilder(ctx, builder, `df -Pk "$root"`)
	if err != nil {
		return Space{}, fmt.Errorf("checking the disk of the builder's root: %w", err)
	}
	return parseDf(output)
}

// KeepReserve makes a file of 16 MiB on the disk of a builder's root, for Prune to remove. BuildKit can delete nothing on a disk
// that is completely full: before it deletes, it writes to its databases. The builder is a container of this engine.
func (b Buildx) KeepReserve(ctx context.Context, builder string) error {
	_, err := b.inBuilder(ctx, builder, `head -c 16777216 /dev/zero >"$root/eval-images-reserve"`)
	return err
}

// DropReserve removes the file that KeepReserve made.
func (b Buildx) DropReserve(ctx context.Context, builder string) error {
	_, err := b.inBuilder(ctx, builder, `rm -f "$root/eval-images-reserve"`)
	return err
}

// parseDf reads the second line of POSIX df -k: file system, total, used, available, capacity, mount point. A name of a file
// system may contain blanks.
func parseDf(output string) (Space, error) {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	for i := 3; i+1 < len(fields); i++ {
		if !strings.HasSuffix(fields[i+1], "%") {
			continue
		}
		const bits = 50 // of KiB: more bytes than any disk has, and fewer than an int64 holds
		used, usedErr := strconv.ParseUint(fields[i-1], 10, bits)
		free, freeErr := strconv.ParseUint(fields[i], 10, bits)
		if usedErr == nil && freeErr == nil && used+free > 0 {
			return Space{Free: int64(free) * 1024, Total: int64(used+free) * 1024}, nil
		}
	}
	return Space{}, fmt.Errorf("checking the disk of the builder's root: df says %q", lines[len(lines)-1])
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
// returns the number of bytes that it freed. The builder is a container of this engine.
func (b Buildx) Prune(ctx context.Context, builder string, keep int64) (freed int64, err error) {
	_ = b.DropReserve(ctx, builder) // a disk that is not completely full needs none
	defer func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			return // the run ends, and removes the reserve
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout) // the time for the prune may be over
		defer cancel()
		_ = b.KeepReserve(ctx, builder)
	}()
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
	if n < 0 {
		return 0, fmt.Errorf("reading buildx's table of the cache: its total is %q", size)
	}
	return n, nil
}
