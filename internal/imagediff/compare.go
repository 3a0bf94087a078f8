// Package imagediff compares a rebased image with the native build of the same target. It reads layers as streams and stores
// none.
package imagediff

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Source opens blobs in a registry. A reader must verify the digest at its end, as the one of a *registry.Client does.
type Source interface {
	OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error)
}

// Image is an image in a registry: its repository, and the bytes of its manifest and config.
type Image struct {
	Repository       string
	Manifest, Config []byte
}

// Options control what is compared, and how strictly.
type Options struct {
	// BaseLayers are the numbers of layers below the agent layers in the wanted and in the given image.
	BaseLayers [2]int
	// Tree also compares the whole file trees. This reads every layer of both images, but shared layers only once.
	Tree bool
	// SameBuilder reports that one builder made both images, with its cache. Then the digests of the agent layers must be equal.
	// Otherwise their files are compared, except for what two cold builders make differently (agentFiles).
	SameBuilder bool
	// Pyc compares .pyc files whose bytes differ. If it is nil, such files are differences.
	Pyc PycComparer
}

// PycComparer reports whether two .pyc files contain the same code. An *sdk.PycComparer does.
type PycComparer interface {
	Equal(ctx context.Context, want, got []byte) (bool, error)
}

// want and got are the indexes of the two images in arrays.
const (
	want = iota
	got
)

// Compare returns the differences of given from wanted: first agent layers, then the config, then files below the agent
// layers, sorted by path. The images are equal if
//   - their agent layers are equal by digest or by file tree
//   - their configs are equal except for created, history and the DiffIDs of the base's layers
//   - with o.Tree, all files have equal content, type, mode, owner and links, except for those in builtFiles
//
// It never compares times of files. Errors come from the source, from layers that cannot be read, and from manifests that
// describe no image.
func Compare(ctx context.Context, src Source, wanted, given Image, o Options) ([]Difference, error) {
	c, err := newComparison(src, wanted, given, o)
	if err != nil {
		return nil, err
	}
	agent, err := c.agentLayers(ctx)
	if err != nil {
		return nil, fmt.Errorf("comparing agent layers: %w", err)
	}
	config, err := compareConfigs(c.images[want].config, c.images[got].config)
	if err != nil {
		return nil, fmt.Errorf("comparing configs: %w", err)
	}
	found := append(agent, config...)
	if o.Tree {
		files, err := c.wholeTrees(ctx)
		if err != nil {
			return nil, fmt.Errorf("comparing file trees: %w", err)
		}
		found = append(found, withoutNamed(files, agent)...)
	}
	return found, nil
}

// CompareAgents compares only the agent layers, as Compare does. The images may have different bases.
func CompareAgents(ctx context.Context, src Source, wanted, given Image, o Options) ([]Difference, error) {
	c, err := newComparison(src, wanted, given, o)
	if err != nil {
		return nil, err
	}
	return c.agentLayers(ctx)
}

// withoutNamed removes the differences whose path is in named. A file that only one of the agent layers has is also missing
// from the whole tree.
func withoutNamed(files, named []Difference) []Difference {
	names := map[string]bool{}
	for _, d := range named {
		names[d.What] = true
	}
	return slices.DeleteFunc(files, func(d Difference) bool { return names[d.What] })
}

// comparison is the state of one call of Compare.
type comparison struct {
	source  Source
	options Options
	images  [2]*image
	// stated holds the layers whose wrong DiffID is reported already.
	stated map[string]bool
}

func newComparison(src Source, wanted, given Image, o Options) (*comparison, error) {
	c := &comparison{source: src, options: o}
	for side, image := range [2]Image{wanted, given} {
		var err error
		if c.images[side], err = parseImage(image, o.BaseLayers[side]); err != nil {
			return nil, fmt.Errorf("reading the %s image in %s: %w", [2]string{"wanted", "given"}[side], image.Repository, err)
		}
	}
	return c, nil
}
