// Package rebase makes an image from what another one's build taught, by writing a config and a manifest.
package rebase

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is one image as a registry holds it: an OCI image manifest, or Docker's of schema 2, and its config, byte for
// byte.
type Image struct {
	MediaType        string
	Manifest, Config []byte
}

// Layer is a layer of an image.
type Layer struct {
	// MediaType is OCI's, also where the manifest has Docker's.
	MediaType string
	// Digest is that of the blob, as it lies in the registry; DiffID that of the tar in it.
	Digest, DiffID string
	// Size is the blob's, in bytes.
	Size int64

	foreign    bool
	descriptor json.RawMessage
}

// layerTypes maps the layers' media types that are known to the ones of OCI. Others are refused: the foreign ones,
// whose blobs may be in no registry, and the encrypted ones.
var layerTypes = map[types.MediaType]types.MediaType{
	types.OCIUncompressedLayer:    types.OCIUncompressedLayer,
	types.OCILayer:                types.OCILayer,
	types.OCILayerZStd:            types.OCILayerZStd,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.DockerLayer:             types.OCILayer,
	// containerd's name for what Docker never specified (containerd, core/images/mediatypes.go).
	"application/vnd.docker.image.rootfs.diff.tar.zstd": types.OCILayerZStd,
}

// parsedImage is an image taken apart.
type parsedImage struct {
	// config is the whole config, settings the member of it with that name.
	config, settings object
	rootfs           object
	layers           []Layer
	history          []json.RawMessage
}

// read takes an image apart and refuses what is not plain: who names it in the reason.
func read(who string, img Image) (parsedImage, error) {
	manifest, err := parseObject(img.Manifest)
	if err != nil {
		return parsedImage{}, refuse("the %s's manifest %v", who, err)
	}
	kind := types.MediaType(img.MediaType)
	if kind != types.OCIManifestSchema1 && kind != types.DockerManifestSchema2 {
		return parsedImage{}, refuse("the %s's media type is %q, which is no image manifest's of OCI or of Docker's schema 2",
			who, kind)
	}
	if own := manifest.text("mediaType"); own != "" && own != img.MediaType {
		return parsedImage{}, refuse("the %s's manifest has the mediaType %q, but came as %q", who, own, kind)
	}
	var config v1.Descriptor
	if err := json.Unmarshal(manifest.get("config"), &config); err != nil {
		return parsedImage{}, refuse("the %s's manifest has no config that can be read: %v", who, err)
	}
	if config.MediaType != types.OCIConfigJSON && config.MediaType != types.DockerConfigJSON {
		return parsedImage{}, refuse("the %s's config has the media type %q, which is no image's", who, config.MediaType)
	}
	if config.Digest.String() != digestOf(img.Config) {
		return parsedImage{}, refuse("the %s's config has another digest than its manifest says", who)
	}
	c, err := readConfig(who, img.Config)
	if err != nil {
		return parsedImage{}, err
	}
	if c.layers, err = readLayers(who, manifest, c.rootfs); err != nil {
		return parsedImage{}, err
	}
	return c, c.checkHistory(who)
}

// readBase is read for an image that another one is made upon.
func readBase(img Image) (parsedImage, error) {
	c, err := read("base", img)
	if err == nil && nilIfEmpty(c.settings.get("OnBuild")) != nil {
		err = refuse("the base's config.OnBuild has instructions that only a build can follow")
	}
	return c, err
}

func readConfig(who string, raw []byte) (parsedImage, error) {
	var c parsedImage
	var err error
	if c.config, err = parseObject(raw); err != nil {
		return c, refuse("the %s's config %v", who, err)
	}
	if name := c.config.ambiguousKey("architecture", "os", "variant", "created", "config", "rootfs", "history"); name != "" {
		return c, refuse("the %s's config has a member %q, of which tools make different things", who, name)
	}
	if err := checkPlatform(who, c.config); err != nil {
		return c, err
	}
	if c.settings, err = parseObject(c.config.get("config")); err != nil {
		return c, refuse("the %s's member config %v", who, err)
	}
	name := c.settings.ambiguousKey("Entrypoint", "Cmd", "Env", "OnBuild", "Labels", "ExposedPorts", "Volumes")
	if name != "" {
		return c, refuse("the %s's config has a member config.%s, of which tools make different things", who, name)
	}
	if c.rootfs, err = parseObject(c.config.get("rootfs")); err != nil {
		return c, refuse("the %s's rootfs %v", who, err)
	}
	if c.history, err = parseList(c.config.get("history")); err != nil {
		return c, refuse("the %s's history cannot be read: %v", who, err)
	}
	return c, nil
}

// checkPlatform lets linux/amd64 pass, the one platform that there is a base image of for every instance. Its variant
// v1 is the same by another name (containerd's platforms package drops it too).
func checkPlatform(who string, config object) error {
	if os := config.text("os"); os != "linux" {
		return refuse("the %s's os is %q, not linux", who, os)
	}
	if architecture := config.text("architecture"); architecture != "amd64" {
		return refuse("the %s's architecture is %q, not amd64", who, architecture)
	}
	if variant := config.text("variant"); variant != "" && variant != "v1" {
		return refuse("the %s's variant is %q, which plain amd64 does not have", who, variant)
	}
	return nil
}

// readLayers pairs descriptors and DiffIDs by their positions. Digests repeat: every instruction that leaves no file
// behind makes the same empty layer.
func readLayers(who string, manifest, rootfs object) ([]Layer, error) {
	descriptors, err := parseList(manifest.get("layers"))
	if err != nil {
		return nil, refuse("the %s's layers cannot be read: %v", who, err)
	}
	diffIDs, err := parseList(rootfs.get("diff_ids"))
	if err != nil {
		return nil, refuse("the %s's rootfs.diff_ids cannot be read: %v", who, err)
	}
	if len(diffIDs) != len(descriptors) {
		return nil, refuse("the %s's rootfs.diff_ids has %d members for %d layers", who, len(diffIDs), len(descriptors))
	}
	var layers []Layer
	for i, raw := range descriptors {
		layer, err := readLayer(raw)
		if err != nil {
			return nil, refuse("the %s's layers[%d] %v", who, i, err)
		}
		if _, err := v1.NewHash(text(diffIDs[i])); err != nil {
			return nil, refuse("the %s's rootfs.diff_ids[%d] is no digest: %v", who, i, err)
		}
		layer.DiffID = text(diffIDs[i])
		layers = append(layers, layer)
	}
	return layers, nil
}

func readLayer(raw json.RawMessage) (Layer, error) {
	var d v1.Descriptor
	if err := json.Unmarshal(raw, &d); err != nil {
		return Layer{}, fmt.Errorf("cannot be read: %w", err)
	}
	kind, known := layerTypes[d.MediaType]
	if !known {
		return Layer{}, fmt.Errorf("has the media type %q, which is foreign", d.MediaType)
	}
	descriptor, err := parseObject(raw)
	if err != nil {
		return Layer{}, err
	}
	return Layer{
		MediaType:  string(kind),
		Digest:     d.Digest.String(),
		Size:       d.Size,
		foreign:    len(d.URLs) > 0,
		descriptor: descriptor.with("mediaType", quote(string(kind))).raw(),
	}, nil
}

// checkHistory refuses a history that does not account for all layers. BuildKit mends such a one in a way of its own.
func (c parsedImage) checkHistory(who string) error {
	accounted := 0
	for i, raw := range c.history {
		entry, err := parseObject(raw)
		if err != nil {
			return refuse("the %s's history[%d] %v", who, i, err)
		}
		if nilIfEmpty(entry.get("empty_layer")) == nil {
			accounted++
		}
	}
	if accounted != len(c.layers) {
		return refuse("the %s's history accounts for %d layers of %d", who, accounted, len(c.layers))
	}
	return nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Layers are an image's layers, bottom up. Errors are a *Refusal.
func Layers(img Image) ([]Layer, error) {
	c, err := read("image", img)
	return c.layers, err
}
