package rebase

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Names of annotations that OCI's image-spec fixes (annotations.md).
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
	createdAt  = "org.opencontainers.image.created"
)

// Apply makes the image that the change makes of base, whose name and manifest digest go into the annotations. The
// variables in env get their values where base, or the change, has them: they name the SDK's commit, which is "unknown"
// in an eval-base. One that neither has is left out, for older SDKs do not set all. It refuses (*Refusal) a base that the
// references do not speak for.
//
// The result is OCI's, as BuildKit makes it, whatever base is, and the same bytes each time: its time is the
// reference's.
func (c Delta) Apply(base Image, name, digest string, env map[string]string) (Image, error) {
	if len(c.Layers) == 0 {
		return Image{}, refuse("nothing was learned that could be put upon it")
	}
	from, err := readBase(base)
	if err != nil {
		return Image{}, err
	}
	if err := c.checkTaken(from.settings, env); err != nil {
		return Image{}, err
	}
	settings, err := c.configured(from.settings, env)
	if err != nil {
		return Image{}, err
	}
	layers := slices.Concat(from.layers, c.Layers)
	var diffIDs []json.RawMessage
	for _, layer := range layers {
		diffIDs = append(diffIDs, quote(layer.DiffID))
	}
	config := from.config.
		with("config", settings.raw()).
		with("rootfs", from.rootfs.with("diff_ids", rawList(diffIDs)).raw()).
		with("history", rawList(slices.Concat(from.history, c.history)))
	if c.created != nil {
		config = config.with("created", c.created)
	}
	img := Image{MediaType: string(types.OCIManifestSchema1), Config: config.raw()}
	img.Manifest = manifest(img.Config, layers, name, digest)
	return img, nil
}

// configured is the member config of an image made upon a base with these settings.
func (c Delta) configured(base object, env map[string]string) (object, error) {
	made := base
	for _, s := range c.settings {
		if !s.changed() {
			continue
		}
		var err error
		if made, err = s.apply(made); err != nil {
			return nil, err
		}
	}
	if len(env) == 0 {
		return made, nil
	}
	entries, err := parseList(made.get("Env"))
	if err != nil {
		return nil, refuse("the base's config.Env cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		holds := slices.ContainsFunc(entries, func(e json.RawMessage) bool { is, _ := variable(e); return is == name })
		if !holds && find(c.settings, configField{field: "Env", key: name}).after != nil {
			return nil, refuse("the base's config.Env has no %s, which the references have: it is not of this SDK", name)
		}
		if holds {
			entries = setVariable(entries, name, quote(name+"="+env[name]))
		}
	}
	if len(entries) > 0 {
		made = made.with("Env", rawList(entries))
	}
	return made, nil
}

// apply sets or clears one configField.
func (s configField) apply(config object) (object, error) {
	field := config.get(s.field)
	if !isKeyed(s.field) {
		return config.with(s.field, s.after), nil
	}
	if s.field == "Env" {
		entries, err := parseList(field)
		if err != nil {
			return nil, refuse("the base's config.Env cannot be read: %v", err)
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

// manifest writes an image's manifest anew. What else the base's said is dropped, as BuildKit drops it: its annotations
// and artifactType are about the base, and its subject would make this image one of that image's attachments.
func manifest(config []byte, layers []Layer, name, digest string) json.RawMessage {
	size, _ := json.Marshal(len(config)) // numbers always encode
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
			{"size", size},
		}.raw()},
		{"layers", rawList(descriptors)},
		{"annotations", object{{baseDigest, quote(digest)}, {baseName, quote(name)}}.raw()},
	}.raw()
}
