package imagediff

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// image is a parsed manifest and config.
type image struct {
	repository string
	config     []byte
	layers     []layer
	base       int // how many of the layers lie below the agent's
}

// layer is a layer in the manifest, with its DiffID from the config.
type layer struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	diffID    string
	index     int
}

func (l layer) same(other layer) bool { return l.Digest == other.Digest }

// agent returns the agent layers.
func (i *image) agent() []layer { return i.layers[i.base:] }

func parseImage(in Image, base int) (*image, error) {
	var manifest struct {
		Config struct{ Digest string }
		Layers []layer
	}
	if err := json.Unmarshal(in.Manifest, &manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if manifest.Config.Digest == "" {
		return nil, errors.New("the manifest has no config, so it is not the manifest of one image")
	}
	if have := digest.FromBytes(in.Config).String(); have != manifest.Config.Digest {
		return nil, fmt.Errorf("the manifest names the config %s, but the config is %s", manifest.Config.Digest, have)
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(in.Config, &config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return nil, fmt.Errorf("the config states %d DiffIDs for %d layers", len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	if base < 0 || base > len(manifest.Layers) {
		return nil, fmt.Errorf("%d layers below the agent layers, but the image has only %d", base, len(manifest.Layers))
	}
	for i := range manifest.Layers {
		manifest.Layers[i].index, manifest.Layers[i].diffID = i, config.RootFS.DiffIDs[i]
	}
	return &image{repository: in.Repository, config: in.Config, layers: manifest.Layers, base: base}, nil
}
