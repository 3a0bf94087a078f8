package rebase

import (
	"encoding/json"
	"strings"
)

// configField is one thing that a config says, in the base and in the image made upon it: a variable, a label, or a whole
// field where it has no parts that instructions change one by one.
type configField struct {
	// field is the config's, key the part's within it, or "".
	field, key string
	// before and after are nil where it is absent. Those of a variable are the whole NAME=value.
	before, after json.RawMessage
	// stated says that it becomes after on any base, also where both were equal here.
	stated bool
}

func (s configField) changed() bool { return s.stated || !same(s.before, s.after) }

func (s configField) is(other configField) bool { return s.field == other.field && s.key == other.key }

// name is how a reason names it.
func (s configField) name() string {
	if s.key == "" {
		return "config." + s.field
	}
	return "config." + s.field + "[" + s.key + "]"
}

// derived says that the value has the base's own in it, as that of PATH=/x:$PATH does. A constant may have it by chance.
func (s configField) derived() bool {
	if s.field != "Env" || s.before == nil || s.after == nil {
		return false
	}
	_, old := variable(s.before)
	_, value := variable(s.after)
	return old != "" && old != value && strings.Contains(value, old)
}

// diffConfig lists all that two configs say, changed or not, in the order of after.
func diffConfig(before, after object) ([]configField, error) {
	var all []configField
	for _, m := range union(after, before) {
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
		for _, key := range union(parts, oldParts) {
			all = append(all, configField{field: m, key: key, before: oldParts.get(key), after: parts.get(key)})
		}
	}
	return all, nil
}

func union(a, b object) []string {
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

// isKeyed tells the fields of which an instruction changes one part, and keeps the base's others: ENV, LABEL, EXPOSE
// and VOLUME.
func isKeyed(field string) bool {
	return field == "Env" || field == "Labels" || field == "ExposedPorts" || field == "Volumes"
}

func parts(field string, raw json.RawMessage) (object, error) {
	if field != "Env" {
		return parseObject(raw)
	}
	return variables(raw)
}
