package rebase

import (
	"encoding/json"
	"slices"
)

// Delta is what an image adds to its base: layers, history and config. The zero value makes no image.
type Delta struct {
	// Layers are the agent layers from bottom to top.
	Layers []Layer

	history []json.RawMessage
	created json.RawMessage
	fields  []configField

	uses       Uses
	baseValues []object // the values that the references' bases have for uses
}

// Diff returns what the build of final added to base. Both must come from the same build, so that final contains base's
// layers. uses is what the instructions of that build read from base. Diff returns a *Refusal if the build would add
// something else to another base.
func Diff(final, base Image, uses Uses) (Delta, error) {
	from, err := parseBase(base)
	if err != nil {
		return Delta{}, err
	}
	to, err := parseImage("final image", final)
	if err != nil {
		return Delta{}, err
	}
	c := Delta{created: to.config.get("created"), uses: uses}
	baseValues, err := uses.values(from.runtime, nil)
	if err != nil {
		return Delta{}, err
	}
	c.baseValues = []object{baseValues}
	if c.Layers, err = layersAbove(to.layers, from.layers); err != nil {
		return Delta{}, err
	}
	if c.history, err = historyAbove(to.history, from.history); err != nil {
		return Delta{}, err
	}
	if err := checkRest(to.config, from.config); err != nil {
		return Delta{}, err
	}
	if c.fields, err = diffConfig(from.runtime, to.runtime); err != nil {
		return Delta{}, err
	}
	// Such a value is right only on bases with this value.
	embedded := func(s configField) bool { return s.embedsBase() && slices.Contains(uses.Variables, s.key) }
	if i := slices.IndexFunc(c.fields, embedded); i >= 0 {
		return Delta{}, refuse("the final image's %s embeds the value that the base has for it", c.fields[i].name())
	}
	c.fields = alwaysSetCmd(c.fields)
	return c, c.check(from, to)
}

// layersAbove returns the layers of final above base. It compares by position, because digests may repeat.
func layersAbove(final, base []Layer) ([]Layer, error) {
	for i, layer := range base {
		switch {
		case i >= len(final):
			return nil, refuse("the final image's layers are %d, fewer than the base's %d", len(final), len(base))
		case final[i].DiffID != layer.DiffID:
			return nil, refuse("the final image's rootfs.diff_ids[%d] is not the base's (another build, or a flattened base)", i)
		case final[i].Digest != layer.Digest:
			return nil, refuse("the final image's layers[%d] is not the base's, but holds the same (a recompressed base)", i)
		}
	}
	own := final[len(base):]
	if len(own) == 0 {
		return nil, refuse("the final image has no layers above its base")
	}
	if i := slices.IndexFunc(own, func(l Layer) bool { return l.foreign }); i >= 0 {
		return nil, refuse("the final image's layers[%d] has urls: its blob may be in no registry", len(base)+i)
	}
	return own, nil
}

// historyAbove returns the history of final above base. Times may differ: BuildKit gives entries without a layer the time of
// the export.
func historyAbove(final, base []json.RawMessage) ([]json.RawMessage, error) {
	for i, entry := range base {
		if i >= len(final) || !equalJSON(withoutCreated(final[i]), withoutCreated(entry)) {
			return nil, refuse("the final image's history[%d] is not the base's", i)
		}
	}
	return final[len(base):], nil
}

// withoutCreated returns an entry of the history without its time.
func withoutCreated(entry json.RawMessage) json.RawMessage {
	o, err := parseObject(entry)
	if err != nil {
		return entry
	}
	return o.with("created", nil).raw()
}

// checkRest refuses other differences of the configs. The platform is checked already.
func checkRest(final, base object) error {
	known := []string{"created", "history", "rootfs", "config", "os", "architecture", "variant"}
	for _, name := range unionKeys(final, base) {
		if !slices.Contains(known, name) && !equalJSON(final.get(name), base.get(name)) {
			return refuse("the final image's config has another %q than the base's", name)
		}
	}
	return nil
}

// alwaysSetCmd marks Cmd as always set if Entrypoint changes. ENTRYPOINT clears an inherited CMD (Dockerfile reference,
// "Understand how CMD and ENTRYPOINT interact"). A base without a CMD does not show that.
func alwaysSetCmd(fields []configField) []configField {
	is := func(field string) func(configField) bool {
		return func(s configField) bool { return s.field == field }
	}
	entry := slices.IndexFunc(fields, is("Entrypoint"))
	if entry < 0 || !fields[entry].changed() {
		return fields
	}
	cmd := slices.IndexFunc(fields, is("Cmd"))
	if cmd < 0 {
		return append(fields, configField{field: "Cmd", always: true})
	}
	fields[cmd].always = true
	return fields
}

// check applies the delta to its own base. If the result is not the final image, a delta cannot express the difference, for
// example another order of Env.
func (c Delta) check(base, final parsedImage) error {
	made, err := c.applyFields(base.runtime, nil)
	if err != nil {
		return err
	}
	for _, field := range unionKeys(final.runtime, made) {
		if !equalJSON(nilIfEmpty(made.get(field)), nilIfEmpty(final.runtime.get(field))) {
			return refuse("the final image's config.%s cannot be made from the base's by setting and removing fields", field)
		}
	}
	return nil
}
