package rebase

import (
	"encoding/json"
	"fmt"
	"strings"
)

// variables reads Env as an object of whole NAME=value entries by name.
func variables(raw json.RawMessage) (object, error) {
	entries, err := parseList(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	var o object
	for _, entry := range entries {
		name, _ := variable(entry)
		if o.get(name) != nil {
			return nil, fmt.Errorf("has %q twice", name)
		}
		o = append(o, member{name, entry})
	}
	return o, nil
}

// variable takes an entry of Env apart. A name without "=" is a variable that is empty, as BuildKit reads it.
func variable(entry json.RawMessage) (name, value string) {
	name, value, _ = strings.Cut(text(entry), "=")
	return name, value
}

// setVariable puts an entry in the place of the first of its name, or at the end, as BuildKit does for ENV (its
// dockerfile2llb, addEnv); nil takes all of that name away.
func setVariable(entries []json.RawMessage, name string, entry json.RawMessage) []json.RawMessage {
	var changed []json.RawMessage
	placed := false
	for _, old := range entries {
		is, _ := variable(old)
		switch {
		case is != name || entry != nil && placed:
			changed = append(changed, old)
		case entry != nil:
			changed, placed = append(changed, entry), true
		}
	}
	if entry != nil && !placed {
		changed = append(changed, entry)
	}
	return changed
}
