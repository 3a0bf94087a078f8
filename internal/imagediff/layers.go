package imagediff

import (
	"archive/tar"
	"context"
	"io"
	"slices"
	"strconv"
)

// agentLayers compares the agent layers by digest and, if these differ, by their files.
func (c *comparison) agentLayers(ctx context.Context) ([]Difference, error) {
	wanted, given := c.images[want].agent(), c.images[got].agent()
	found, same := c.compareDigests(wanted, given)
	if same {
		return found, nil
	}
	t := newTree(true)
	t.normal = normalizers(agentFiles)
	for side, layers := range [2][]layer{wanted, given} {
		for _, l := range layers {
			stated, err := c.apply(ctx, t, l, place{side, l.index})
			if err != nil {
				return nil, err
			}
			found = append(found, stated...)
		}
	}
	files, err := c.agentTrees(ctx, t)
	return append(found, files...), err
}

// compareDigests compares the layers in the manifests. Different digests are a difference only if one builder made both
// images. Layers with equal digests must also have equal DiffIDs.
func (c *comparison) compareDigests(wanted, given []layer) (found []Difference, same bool) {
	same = len(wanted) == len(given)
	if !same && c.options.SameBuilder {
		found = append(found, Difference{"number of agent layers", strconv.Itoa(len(wanted)), strconv.Itoa(len(given))})
	}
	for i := range min(len(wanted), len(given)) {
		w, g := wanted[i], given[i]
		what := "agent layer " + strconv.Itoa(i+1)
		switch {
		case w.Digest != g.Digest:
			same = false
			if c.options.SameBuilder {
				found = append(found, Difference{what, w.Digest, g.Digest})
			}
		case w.diffID != g.diffID:
			found = append(found, Difference{"config DiffID of " + what, w.diffID, g.diffID})
		}
	}
	return found, same
}

// agentTrees returns the differences of two trees of agent layers.
func (c *comparison) agentTrees(ctx context.Context, t *tree) ([]Difference, error) {
	var found []Difference
	compiled := map[string]int{} // .pyc files of other bytes, and where in found they stand
	t.differences(nil, func(p pathDiff, links hardlinks) {
		if e := findExpected(agentFiles, p.path); e != nil && p.content() {
			switch {
			case e.normal == nil:
				return
			case e.pattern == pycPattern && c.options.Pyc != nil:
				compiled[p.path] = len(found)
			}
		}
		found = append(found, p.describe(links))
	})
	if len(compiled) == 0 {
		return found, nil
	}
	equal, err := c.equalPyc(ctx, t, compiled)
	if err != nil {
		return nil, err
	}
	left := found[:0]
	for _, d := range found {
		if !equal[d.What] {
			left = append(left, d)
		}
	}
	return left, nil
}

// wholeTrees compares all files except those that come from the agent layers in both images. agentLayers compares those.
func (c *comparison) wholeTrees(ctx context.Context) ([]Difference, error) {
	t := newTree(false)
	t.normal = normalizers(builtFiles)
	var found []Difference
	for _, layerStep := range mergeLayers(c.images[want].layers, c.images[got].layers) {
		stated, err := c.apply(ctx, t, layerStep.layer, layerStep.in...)
		if err != nil {
			return nil, err
		}
		found = append(found, stated...)
	}
	fromAgents := func(s [2]pathEntry) bool {
		return int(s[want].layer) >= c.options.BaseLayers[want] && int(s[got].layer) >= c.options.BaseLayers[got]
	}
	t.differences(fromAgents, func(p pathDiff, links hardlinks) {
		if e := findExpected(builtFiles, p.path); e != nil && e.normal == nil && p.content() {
			return
		}
		found = append(found, p.describe(links))
	})
	return found, nil
}

// layerStep is a layer to read, and its positions in the images.
type layerStep struct {
	layer layer
	in    []place
}

// mergeLayers orders the layers of two images. Each image's layers keep their order. A layer of both images is read only once
// if the orders allow that, which is the case for most: those of the base image, of the providers and of the agent.
func mergeLayers(wanted, given []layer) []layerStep {
	var all []layerStep
	for w, g := 0, 0; w < len(wanted) || g < len(given); {
		switch {
		case w < len(wanted) && g < len(given) && wanted[w].Digest == given[g].Digest:
			all = append(all, layerStep{wanted[w], []place{{want, w}, {got, g}}})
			w++
			g++
		case w < len(wanted) && !slices.ContainsFunc(given[g:], wanted[w].same):
			all = append(all, layerStep{wanted[w], []place{{want, w}}})
			w++
		case g < len(given):
			all = append(all, layerStep{given[g], []place{{got, g}}})
			g++
		}
	}
	return all
}

// apply reads a layer into a tree. A DiffID in the config that does not match the layer is a difference: the engine rejects
// such an image.
func (c *comparison) apply(ctx context.Context, t *tree, l layer, in ...place) ([]Difference, error) {
	diffID, err := c.entries(ctx, c.images[in[0].side].repository, l, func(header *tar.Header, content io.Reader) error {
		return t.add(header, content, in)
	})
	if err != nil {
		return nil, err
	}
	var found []Difference
	for _, p := range in {
		stated := c.images[p.side].layers[p.layer].diffID
		name := [2]string{"wanted", "given"}[p.side] + " layer " + strconv.Itoa(p.layer+1)
		if stated == diffID || c.stated[name] {
			continue
		}
		if c.stated == nil {
			c.stated = map[string]bool{}
		}
		c.stated[name] = true
		found = append(found, Difference{"config DiffID of " + name + " against its content", diffID, stated})
	}
	return found, nil
}
