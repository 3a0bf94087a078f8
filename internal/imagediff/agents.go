package imagediff

import (
	"context"
	"fmt"
)

// CompareAgents compares the agent layers alone, as Compare does: of two images with unlike bases, which nobody expects to
// be equal below.
func CompareAgents(ctx context.Context, src Source, wanted, given Image, o Options) ([]Difference, error) {
	c := comparison{source: src, options: o}
	for side, image := range [2]Image{wanted, given} {
		var err error
		if c.images[side], err = parse(image, o.BaseLayers[side]); err != nil {
			return nil, fmt.Errorf("reading the image in %s: %w", image.Repository, err)
		}
	}
	return c.agentLayers(ctx)
}
