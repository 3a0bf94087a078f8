package rebase

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// OCI's names of annotations (image-spec, annotations.md).
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
	createdAt  = "org.opencontainers.image.created"
)

// Apply adds the delta to base. name and digest identify base in the annotations. env holds the values of variables that name
// the SDK's commit, which is "unknown" in an eval-base. Apply sets such a variable only if base or the delta has it, because
// older SDKs lack some. It returns a *Refusal if the references do not show what the image on this base would be.
//
// The result is an OCI image, as BuildKit makes it, whatever the format of base. It is the same bytes each time, because its
// creation time is the reference's.
func (c Delta) Apply(base Image, name, digest string, env map[string]string) (Image, error) {
	if len(c.Layers) == 0 {
		return Image{}, refuse("the references added no layers")
	}
	from, err := parseBase(base)
	if err != nil {
		return Image{}, err
	}
	if err := c.checkUses(from.runtime, env); err != nil {
		return Image{}, err
	}
	runtime, err := c.applyFields(from.runtime, env)
	if err != nil {
		return Image{}, err
	}
	layers := slices.Concat(from.layers, c.Layers)
	var diffIDs []json.RawMessage
	for _, layer := range layers {
		diffIDs = append(diffIDs, quote(layer.DiffID))
	}
	config := from.config.
		with("config", runtime.raw()).
		with("rootfs", from.rootfs.with("diff_ids", rawList(diffIDs)).raw()).
		with("history", rawList(slices.Concat(from.history, c.history)))
	if c.created != nil {
		config = config.with("created", c.created)
	}
	img := Image{MediaType: string(types.OCIManifestSchema1), Config: config.raw()}
	img.Manifest = manifest(img.Config, layers, name, digest)
	return img, nil
}

// applyFields returns the runtime config of the new image.
func (c Delta) applyFields(base object, env map[string]string) (object, error) {
	result := base
	for _, s := range c.fields {
		if !s.changed() {
			continue
		}
		var err error
		if result, err = s.apply(result); err != nil {
			return nil, err
		}
	}
	if len(env) == 0 {
		return result, nil
	}
	entries, err := parseList(result.get("Env"))
	if err != nil {
		return nil, refuse("the base's config.Env cannot be parsed: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		holds := slices.ContainsFunc(entries, func(e json.RawMessage) bool { is, _ := variable(e); return is == name })
		if !holds && findField(c.fields, configField{field: "Env", key: name}).after != nil {
			return nil, refuse("the base's config.Env has no %s, which the references have: it is not of this SDK", name)
		}
		if holds {
			entries = setVariable(entries, name, quote(name+"="+env[name]))
		}
	}
	if len(entries) > 0 {
		result = result.with("Env", rawList(entries))
	}
	return result, nil
}

// apply sets or removes one field.
func (s configField) apply(config object) (object, error) {
	field := config.get(s.field)
	if !isKeyed(s.field) {
		return config.with(s.field, s.after), nil
	}
	if s.field == "Env" {
		entries, err := parseList(field)
		if err != nil {
			return nil, refuse("the base's config.Env cannot be parsed: %v", err)
		}
		entries = setVariable(entries, s.key, s.after)
		if len(entries) == 0 {
			return config.with("Env", nil), nil
		}
		return config.with("Env", rawList(entries)), nil
	}
	parts, err := parseObject(field)
	if err != nil {
		return nil, refuse("the base's config.%s %v", s.field, err)
	}
	if parts = parts.with(s.key, s.after); len(parts) == 0 {
		return config.with(s.field, nil), nil
	}
	return config.with(s.field, parts.raw()), nil
}

// manifest builds the image's manifest. Like BuildKit, it drops everything else in the base's manifest: annotations and
// artifactType are about the base, and subject would attach this image to another one.
func manifest(config []byte, layers []Layer, name, digest string) json.RawMessage {
	var descriptors []json.RawMessage
	for _, layer := range layers {
		descriptors = append(descriptors, layer.descriptor)
	}
	return object{
		{"schemaVersion", json.RawMessage("2")},
		{"mediaType", quote(string(types.OCIManifestSchema1))},
		{"config", object{
			{"mediaType", quote(string(types.OCIConfigJSON))},
			{"digest", quote(digestOf(config))},
			{"size", json.RawMessage(strconv.Itoa(len(config)))},
		}.raw()},
		{"layers", rawList(descriptors)},
		{"annotations", object{{baseDigest, quote(digest)}, {baseName, quote(name)}}.raw()},
	}.raw()
}
