package rebase

import (
	"encoding/json"
	"slices"
)

// Delta is what a final image has and its base has not. Its zero value makes no image.
type Delta struct {
	// Layers are the agent layers, bottom up.
	Layers []Layer

	history  []json.RawMessage
	created  json.RawMessage
	settings []configField

	taken Taken
	seen  []object // what was taken in of each reference's base
}

// Diff finds what was put upon base to make final. Both must come from the same build, so that the one's layers are
// the other's too. taken is what the instructions that made it take in of base. It refuses (*Refusal) what would not be the
// same on another base.
func Diff(final, base Image, taken Taken) (Delta, error) {
	from, err := readBase(base)
	if err != nil {
		return Delta{}, err
	}
	to, err := read("final image", final)
	if err != nil {
		return Delta{}, err
	}
	c := Delta{created: to.config.get("created"), taken: taken}
	seen, err := taken.from(from.settings, nil)
	if err != nil {
		return Delta{}, err
	}
	c.seen = []object{seen}
	if c.Layers, err = layersAbove(to.layers, from.layers); err != nil {
		return Delta{}, err
	}
	if c.history, err = historyAbove(to.history, from.history); err != nil {
		return Delta{}, err
	}
	if err := checkRest(to.config, from.config); err != nil {
		return Delta{}, err
	}
	if c.settings, err = diffConfig(from.settings, to.settings); err != nil {
		return Delta{}, err
	}
	// Such a change would hold on bases of this very value alone; another reference may teach more.
	derived := func(s configField) bool { return s.derived() && slices.Contains(taken.Variables, s.key) }
	if i := slices.IndexFunc(c.settings, derived); i >= 0 {
		return Delta{}, refuse("the final image's %s embeds the value that the base has for it", c.settings[i].name())
	}
	c.settings = stateCmd(c.settings)
	return c, c.check(from, to)
}

// layersAbove gives what final has above base. It goes by position: a digest may stand at several.
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

// historyAbove is layersAbove for the history. Times may differ: BuildKit gives those of the export to entries that
// have no layer.
func historyAbove(final, base []json.RawMessage) ([]json.RawMessage, error) {
	for i, entry := range base {
		if i >= len(final) || !same(withoutCreated(final[i]), withoutCreated(entry)) {
			return nil, refuse("the final image's history[%d] is not the base's", i)
		}
	}
	return final[len(base):], nil
}

// withoutCreated is an entry of a history without its time.
func withoutCreated(entry json.RawMessage) json.RawMessage {
	o, err := parseObject(entry)
	if err != nil {
		return entry
	}
	return o.with("created", nil).raw()
}

// checkRest refuses a change of the config outside of what images differ in. The platform was looked at before.
func checkRest(final, base object) error {
	known := []string{"created", "history", "rootfs", "config", "os", "architecture", "variant"}
	for _, name := range union(final, base) {
		if !slices.Contains(known, name) && !same(final.get(name), base.get(name)) {
			return refuse("the final image's config has another %q than the base's", name)
		}
	}
	return nil
}

// stateCmd makes Cmd part of a change of Entrypoint, whatever it was before: ENTRYPOINT clears a CMD that is inherited
// (Dockerfile reference, "Understand how CMD and ENTRYPOINT interact"), which a base without one cannot show.
func stateCmd(settings []configField) []configField {
	is := func(field string) func(configField) bool {
		return func(s configField) bool { return s.field == field }
	}
	entry := slices.IndexFunc(settings, is("Entrypoint"))
	if entry < 0 || !settings[entry].changed() {
		return settings
	}
	cmd := slices.IndexFunc(settings, is("Cmd"))
	if cmd < 0 {
		return append(settings, configField{field: "Cmd", stated: true})
	}
	settings[cmd].stated = true
	return settings
}

// check applies the change to the very base that it was learned on: what does not come out as the final image is
// nothing that a change can express, such as another order of Env.
func (c Delta) check(base, final parsedImage) error {
	made, err := c.configured(base.settings, nil)
	if err != nil {
		return err
	}
	for _, field := range union(final.settings, made) {
		if !same(nilIfEmpty(made.get(field)), nilIfEmpty(final.settings.get(field))) {
			return refuse("the final image's config.%s does not follow from the base's by configField and clearing", field)
		}
	}
	return nil
}
