package rebase

import (
	"encoding/json"
	"fmt"
	"strings"
)

// variables reads Env as an object that maps names to whole NAME=value entries.
func variables(raw json.RawMessage) (object, error) {
	entries, err := parseList(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot be parsed: %w", err)
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

// variable splits an entry of Env. A name without "=" is an empty variable, as for BuildKit.
func variable(entry json.RawMessage) (name, value string) {
	name, value, _ = strings.Cut(text(entry), "=")
	return name, value
}

// setVariable replaces the first entry of that name, or appends it, as BuildKit's ENV does (dockerfile2llb, addEnv). A nil
// entry removes the variable.
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
