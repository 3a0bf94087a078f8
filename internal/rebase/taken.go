package rebase

import (
	"encoding/json"
	"slices"
)

// Taken is what the instructions between base and final image take in of the base: these variables, the working
// directory, the SHELL. Images do not show it. With ENV X=/a:$X all bases without X come to the same constant X=/a: and a
// base with X does not.
type Taken struct {
	Variables         []string
	WorkingDir, Shell bool
}

// from gives what is taken in of a base with these settings, by the names that reasons have. The variables in env are
// stated outright, so that the base's own values do not count.
func (t Taken) from(base object, env map[string]string) (object, error) {
	entries, err := parseList(base.get("Env"))
	if err != nil {
		return nil, refuse("the base's config.Env cannot be read: %v", err)
	}
	var all object
	for _, name := range t.Variables {
		var held []json.RawMessage // more than one where the base has it twice
		for _, entry := range entries {
			if is, _ := variable(entry); is == name {
				if value, stated := env[name]; stated {
					entry = quote(name + "=" + value)
				}
				held = append(held, entry)
			}
		}
		all = append(all, member{configField{field: "Env", key: name}.name(), rawList(held)})
	}
	if t.WorkingDir {
		all = append(all, member{"config.WorkingDir", nilIfEmpty(base.get("WorkingDir"))})
	}
	if t.Shell {
		all = append(all, member{"config.Shell", nilIfEmpty(base.get("Shell"))})
	}
	return all, nil
}

// checkTaken refuses a base on which the change may be another one: in what the instructions take in, it is like the base
// of none of the references.
func (c Delta) checkTaken(base object, env map[string]string) error {
	own, err := c.taken.from(base, env)
	if err != nil {
		return err
	}
	differs := ""
	for _, seen := range c.seen {
		i := slices.IndexFunc(own, func(m member) bool { return !same(m.value, seen.get(m.name)) })
		if i < 0 {
			return nil
		}
		differs = own[i].name
	}
	return refuse("the base's %s is not that of the references' bases, and the target's stage uses it", differs)
}
