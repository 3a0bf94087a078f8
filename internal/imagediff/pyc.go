package imagediff

import (
	"archive/tar"
	"context"
	"io"
	"maps"
	"path"
	"slices"
)

// held bounds the bytes of .pyc files of one image that are in memory while the other image's are read.
const held = 16 << 20

// sameCode tells which of the .pyc files hold the same code. It reads the agent layers again for them, and so as often
// as what differs has to be taken in parts.
func (c *comparison) sameCode(ctx context.Context, t *tree, compiled map[string]int) (map[string]bool, error) {
	equal := map[string]bool{}
	for pending := slices.Sorted(maps.Keys(compiled)); len(pending) > 0; {
		part, size := map[string][]byte{}, int64(0)
		for ; len(pending) > 0; pending = pending[1:] {
			sides := t.find(pending[0], want).sides
			larger := max(sides[want].file.size, sides[got].file.size)
			if larger > held {
				continue // It stays a difference.
			}
			if size += larger; size > held {
				break
			}
			part[pending[0]] = nil
		}
		if len(part) == 0 {
			break // All that was left is too large.
		}
		if err := c.contents(ctx, want, part, func(name string, content []byte) error {
			part[name] = content
			return nil
		}); err != nil {
			return nil, err
		}
		if err := c.contents(ctx, got, part, func(name string, content []byte) (err error) {
			equal[name], err = c.options.Pyc.Equal(ctx, part[name], content)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return equal, nil
}

// contents calls each for the regular files of an image's agent layers that are in wanted. One that is in several layers comes
// several times, the one that counts last. (A .pyc that is a hard link stays a difference: no installer makes one.)
func (c *comparison) contents(ctx context.Context, side int, wanted map[string][]byte, each func(string, []byte) error) error {
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
