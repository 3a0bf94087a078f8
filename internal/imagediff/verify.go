// Package imagediff compares two images in a registry that should be equal: one that was made by writing a config and a
// manifest, and one that the SDK built natively. It reads layers as streams and stores none.
package imagediff

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Source opens blobs of a registry; a *registry.Client does. A reader is expected to verify the digest at its end.
type Source interface {
	OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error)
}

// Image is one image as it is in a registry: the bytes of its manifest and of its config, and where its blobs are.
type Image struct {
	Repository       string
	Manifest, Config []byte
}

// Options say what is compared, and how strictly.
type Options struct {
	// BaseLayers says how many layers of want and of got lie below the agent's. The layers above are the agent's.
	BaseLayers [2]int
	// Tree compares the whole file trees too, which reads every layer of both images; those that both have, once.
	Tree bool
	// SameBuilder says that one builder's cache made both images: agent layers must then be equal by digest. Otherwise
	// their files are compared, but for what two cold builders make differently (agentFiles).
	SameBuilder bool
	// Pyc compares compiled Python that differs in its bytes. Without it such files are differences.
	Pyc PycComparer
}

// PycComparer tells whether two .pyc files hold the same code; an *sdk.PycComparer does.
type PycComparer interface {
	Equal(ctx context.Context, want, got []byte) (bool, error)
}

// want and got are the two images' places wherever there is a pathDiff.
const (
	want = iota
	got
)

// Compare gives what makes got another image than want, in this order: agent layers, config, files below the agent's;
// files by path. None is no difference: agent layers equal by digest or by tree, configs equal but for created, history
// and the DiffIDs of the base stage, and, with o.Tree, equal content, type, mode, owner and links of every file but
// those of builtFiles. Times of files are never compared. Errors are those of the source, of layers that cannot be
// read, and of manifests that are no image's.
func Compare(ctx context.Context, src Source, wanted, given Image, o Options) ([]Difference, error) {
	c := comparison{source: src, options: o}
	for side, image := range [2]Image{wanted, given} {
		var err error
		if c.images[side], err = parse(image, o.BaseLayers[side]); err != nil {
			return nil, fmt.Errorf("reading the %s image in %s: %w", [2]string{"wanted", "given"}[side], image.Repository, err)
		}
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
		found = append(found, without(files, agent)...)
	}
	return found, nil
}

// without leaves out what is named already: a file that only one of the agent layers has is missing in the whole as well.
func without(files, named []Difference) []Difference {
	return slices.DeleteFunc(files, func(d Difference) bool {
		return slices.ContainsFunc(named, func(n Difference) bool { return n.What == d.What })
	})
}

// comparison is one call of Compare.
type comparison struct {
	source  Source
	options Options
	images  [2]*image
	// stated holds the layers whose content does not have the DiffID that the config states, each once.
	stated map[string]bool
}
