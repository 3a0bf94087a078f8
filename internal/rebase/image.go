// Package rebase puts the layers and config changes of one build on another base image, without running the build. It only
// computes configs and manifests.
package rebase

import (
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Image is an image in a registry: an OCI image manifest or one of Docker's schema 2, and its config, byte for byte.
type Image struct {
	MediaType        string
	Manifest, Config []byte
}

// Layer is a layer of an image.
type Layer struct {
	// MediaType is OCI's media type, even if the manifest has Docker's.
	MediaType string
	// Digest is the digest of the compressed blob. DiffID is the digest of the tar stream.
	Digest, DiffID string
	// Size is the size of the blob in bytes.
	Size int64

	foreign    bool
	descriptor json.RawMessage
}

// layerTypes maps the supported media types to OCI's. It excludes foreign layers, whose blobs may be in no registry, and
// encrypted ones.
var layerTypes = map[types.MediaType]types.MediaType{
	types.OCIUncompressedLayer:    types.OCIUncompressedLayer,
	types.OCILayer:                types.OCILayer,
	types.OCILayerZStd:            types.OCILayerZStd,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.DockerLayer:             types.OCILayer,
	// containerd's name for what Docker never specified (containerd, core/images/mediatypes.go).
	"application/vnd.docker.image.rootfs.diff.tar.zstd": types.OCILayerZStd,
}

// parsedImage is a parsed manifest and config.
type parsedImage struct {
	// config is the whole config. runtime is its member "config", the runtime settings.
	config, runtime object
	rootfs          object
	layers          []Layer
	history         []json.RawMessage
}

// parseImage parses an image. It refuses unusual images; who names the image in the refusal.
func parseImage(who string, img Image) (parsedImage, error) {
	manifest, err := parseObject(img.Manifest)
	if err != nil {
		return parsedImage{}, refuse("the %s's manifest %v", who, err)
	}
	kind := types.MediaType(img.MediaType)
	if kind != types.OCIManifestSchema1 && kind != types.DockerManifestSchema2 {
		return parsedImage{}, refuse("the %s's media type is %q, which is no manifest of an image (OCI or Docker schema 2)",
			who, kind)
	}
	if own := manifest.text("mediaType"); own != "" && own != img.MediaType {
		return parsedImage{}, refuse("the %s's manifest has the mediaType %q, but came as %q", who, own, kind)
	}
	var config v1.Descriptor
	if err := json.Unmarshal(manifest.get("config"), &config); err != nil {
		return parsedImage{}, refuse("the %s's manifest has no config that can be parsed: %v", who, err)
	}
	if config.MediaType != types.OCIConfigJSON && config.MediaType != types.DockerConfigJSON {
		return parsedImage{}, refuse("the %s's config has the media type %q, which is not that of an image", who, config.MediaType)
	}
	if config.Digest.String() != digestOf(img.Config) {
		return parsedImage{}, refuse("the %s's config has another digest than its manifest says", who)
	}
	c, err := parseConfig(who, img.Config)
	if err != nil {
		return parsedImage{}, err
	}
	if c.layers, err = parseLayers(who, manifest, c.rootfs); err != nil {
		return parsedImage{}, err
	}
	return c, c.checkHistory(who)
}

// parseBase is parseImage for an image to build on.
func parseBase(img Image) (parsedImage, error) {
	c, err := parseImage("base", img)
	if err == nil && nilIfEmpty(c.runtime.get("OnBuild")) != nil {
		err = refuse("the base's config.OnBuild has instructions that need a build")
	}
	return c, err
}

func parseConfig(who string, raw []byte) (parsedImage, error) {
	var c parsedImage
	var err error
	if c.config, err = parseObject(raw); err != nil {
		return c, refuse("the %s's config %v", who, err)
	}
	if name := c.config.ambiguousKey("architecture", "os", "variant", "created", "config", "rootfs", "history"); name != "" {
		return c, refuse("the %s's config has a member %q, which tools read differently", who, name)
	}
	if err := checkPlatform(who, c.config); err != nil {
		return c, err
	}
	if c.runtime, err = parseObject(c.config.get("config")); err != nil {
		return c, refuse("the %s's member config %v", who, err)
	}
	name := c.runtime.ambiguousKey("Entrypoint", "Cmd", "Env", "OnBuild", "Labels", "ExposedPorts", "Volumes")
	if name != "" {
		return c, refuse("the %s's config has a member config.%s, which tools read differently", who, name)
	}
	if c.rootfs, err = parseObject(c.config.get("rootfs")); err != nil {
		return c, refuse("the %s's rootfs %v", who, err)
	}
	if c.history, err = parseList(c.config.get("history")); err != nil {
		return c, refuse("the %s's history cannot be parsed: %v", who, err)
	}
	return c, nil
}

// checkPlatform accepts only linux/amd64, for which every instance has a base image. Variant v1 is the same platform
// (containerd's platforms package drops it too).
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

// parseLayers pairs descriptors and DiffIDs by position. Digests repeat: every instruction that changes no file creates the
// same empty layer.
func parseLayers(who string, manifest, rootfs object) ([]Layer, error) {
	descriptors, err := parseList(manifest.get("layers"))
	if err != nil {
		return nil, refuse("the %s's layers cannot be parsed: %v", who, err)
	}
	diffIDs, err := parseList(rootfs.get("diff_ids"))
	if err != nil {
		return nil, refuse("the %s's rootfs.diff_ids cannot be parsed: %v", who, err)
	}
	if len(diffIDs) != len(descriptors) {
		return nil, refuse("the %s's rootfs.diff_ids has %d members for %d layers", who, len(diffIDs), len(descriptors))
	}
	var layers []Layer
	for i, raw := range descriptors {
		layer, err := parseLayer(raw)
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

func parseLayer(raw json.RawMessage) (Layer, error) {
	var d v1.Descriptor
	if err := json.Unmarshal(raw, &d); err != nil {
		return Layer{}, fmt.Errorf("cannot be parsed: %w", err)
	}
	kind, known := layerTypes[d.MediaType]
	if !known {
		return Layer{}, fmt.Errorf("has the unsupported media type %q", d.MediaType)
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

// checkHistory refuses a history that does not match the layers. BuildKit would repair it in its own way.
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

func digestOf(content []byte) string { return digest.FromBytes(content).String() }

// Layers returns an image's layers from bottom to top. The error is a *Refusal.
func Layers(img Image) ([]Layer, error) {
	c, err := parseImage("image", img)
	return c.layers, err
}

// IsIndex reports whether the media type is that of OCI's index or of Docker's manifest list.
func IsIndex(mediaType string) bool { return types.MediaType(mediaType).IsIndex() }

// SelectPlatform returns the image for linux/amd64 in an index. It returns a *Refusal if there is none or more than one. It
// ignores manifests without a platform. BuildKit's attestations have the platform unknown/unknown.
func SelectPlatform(index []byte) (digest, mediaType string, err error) {
	var list v1.IndexManifest
	if err := json.Unmarshal(index, &list); err != nil {
		return "", "", refuse("the index cannot be parsed: %v", err)
	}
	found := 0
	for _, d := range list.Manifests {
		p := d.Platform
		if p == nil || p.OS != "linux" || p.Architecture != "amd64" || p.Variant != "" && p.Variant != "v1" {
			continue
		}
		digest, mediaType = d.Digest.String(), string(d.MediaType)
		found++
	}
	switch {
	case found == 0:
		return "", "", refuse("the index has no image for linux/amd64 among its %d manifests", len(list.Manifests))
	case found > 1:
		return "", "", refuse("the index has %d images for linux/amd64", found)
	case !types.MediaType(mediaType).IsImage():
		return "", "", refuse("the index has the media type %q for linux/amd64, which is no image's", mediaType)
	}
	return digest, mediaType, nil
}
