package imagediff

import (
	"archive/tar"
	"context"
	"io"
	"maps"
	"path"
	"slices"
)

// maxPycMemory is how many bytes of one image's .pyc files are in memory at once, while those of the other image are read.
const maxPycMemory = 16 << 20

// equalPyc returns which of the .pyc files contain the same code. It reads the agent layers again, once for each maxPycMemory
// bytes of files.
func (c *comparison) equalPyc(ctx context.Context, t *tree, compiled map[string]int) (map[string]bool, error) {
	equal := map[string]bool{}
	for pending := slices.Sorted(maps.Keys(compiled)); len(pending) > 0; {
		part, size := map[string][]byte{}, int64(0)
		for ; len(pending) > 0; pending = pending[1:] {
			sides := t.find(pending[0], want).sides
			larger := max(sides[want].file.size, sides[got].file.size)
			if larger > maxPycMemory {
				continue // It remains a difference.
			}
			if size += larger; size > maxPycMemory {
				break
			}
			part[pending[0]] = nil
		}
		if len(part) == 0 {
			break // Every remaining file is too large.
		}
		if err := c.readPyc(ctx, want, part, func(name string, content []byte) error {
			part[name] = content
			return nil
		}); err != nil {
			return nil, err
		}
		if err := c.readPyc(ctx, got, part, func(name string, content []byte) (err error) {
			equal[name], err = c.options.Pyc.Equal(ctx, part[name], content)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return equal, nil
}

// readPyc calls each for the regular files in wanted, for every agent layer that contains them. The last call for a name
// counts. (A .pyc that is a hard link stays a difference. No installer creates one.)
func (c *comparison) readPyc(ctx context.Context, side int, wanted map[string][]byte, each func(string, []byte) error) error {
	for _, l := range c.images[side].agent() {
		_, err := c.entries(ctx, c.images[side].repository, l, func(header *tar.Header, content io.Reader) error {
			name := path.Clean("/" + header.Name)
			if _, ok := wanted[name]; !ok || header.Typeflag != tar.TypeReg {
				return nil
			}
			all, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			return each(name, all)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
