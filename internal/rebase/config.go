package rebase

import (
	"encoding/json"
	"strings"
)

// configField is one field of the runtime config, in the base and in the image on top of it: a variable, a label, or a whole
// field if no instruction changes only a part of it.
type configField struct {
	// field is the name of the config's field. key is the name of the part, or "".
	field, key string
	// before and after are nil if the field is absent. For a variable they are the whole NAME=value.
	before, after json.RawMessage
	// always reports that the field becomes after on any base, even if before is equal.
	always bool
}

func (s configField) changed() bool { return s.always || !equalJSON(s.before, s.after) }

func (s configField) is(other configField) bool { return s.field == other.field && s.key == other.key }

// name is the field's name in refusals.
func (s configField) name() string {
	if s.key == "" {
		return "config." + s.field
	}
	return "config." + s.field + "[" + s.key + "]"
}

// embedsBase reports whether the value contains the base's value, like the value of PATH=/x:$PATH. A constant may contain it
// by chance.
func (s configField) embedsBase() bool {
	if s.field != "Env" || s.before == nil || s.after == nil {
		return false
	}
	_, old := variable(s.before)
	_, value := variable(s.after)
	return old != "" && old != value && strings.Contains(value, old)
}

// diffConfig lists all fields of two configs, changed or not, in the order of after.
func diffConfig(before, after object) ([]configField, error) {
	var all []configField
	for _, m := range unionKeys(after, before) {
		old, value := before.get(m), after.get(m)
		if !isKeyed(m) {
			all = append(all, configField{field: m, before: nilIfEmpty(old), after: nilIfEmpty(value)})
			continue
		}
		oldParts, err := parts(m, old)
		if err != nil {
			return nil, refuse("the base's config.%s %v", m, err)
		}
		parts, err := parts(m, value)
		if err != nil {
			return nil, refuse("the final image's config.%s %v", m, err)
		}
		for _, key := range unionKeys(parts, oldParts) {
			all = append(all, configField{field: m, key: key, before: oldParts.get(key), after: parts.get(key)})
		}
	}
	return all, nil
}

func unionKeys(a, b object) []string {
	var names []string
	for _, m := range a {
		names = append(names, m.name)
	}
	for _, m := range b {
		if a.get(m.name) == nil {
			names = append(names, m.name)
		}
	}
	return names
}

// isKeyed reports whether instructions change only a part of the field: ENV, LABEL, EXPOSE and VOLUME.
func isKeyed(field string) bool {
	return field == "Env" || field == "Labels" || field == "ExposedPorts" || field == "Volumes"
}

func parts(field string, raw json.RawMessage) (object, error) {
	if field != "Env" {
		return parseObject(raw)
	}
	return variables(raw)
}
