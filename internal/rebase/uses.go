package rebase

import (
	"encoding/json"
	"slices"
)

// Uses is what the instructions between base and final image read from the base: variables, the working directory, the SHELL.
// Images do not show this. For example, ENV X=/a:$X gives X=/a: on all bases without X, and another value on a base with X.
type Uses struct {
	Variables         []string
	WorkingDir, Shell bool
}

// values returns the used values of a base, by the names that refusals use. Variables in env have the value there, not the
// base's.
func (u Uses) values(base object, env map[string]string) (object, error) {
	entries, err := parseList(base.get("Env"))
	if err != nil {
		return nil, refuse("the base's config.Env cannot be parsed: %v", err)
	}
	var all object
	for _, name := range u.Variables {
		var set []json.RawMessage // more than one if the base sets the variable twice
		for _, entry := range entries {
			if is, _ := variable(entry); is == name {
				if value, ok := env[name]; ok {
					entry = quote(name + "=" + value)
				}
				set = append(set, entry)
			}
		}
		all = append(all, member{configField{field: "Env", key: name}.name(), rawList(set)})
	}
	if u.WorkingDir {
		all = append(all, member{"config.WorkingDir", nilIfEmpty(base.get("WorkingDir"))})
	}
	if u.Shell {
		all = append(all, member{"config.Shell", nilIfEmpty(base.get("Shell"))})
	}
	return all, nil
}

// checkUses refuses a base on which the delta may be wrong: its used values are equal to those of no reference's base.
func (c Delta) checkUses(base object, env map[string]string) error {
	own, err := c.uses.values(base, env)
	if err != nil {
		return err
	}
	differs := ""
	for _, values := range c.baseValues {
		i := slices.IndexFunc(own, func(m member) bool { return !equalJSON(m.value, values.get(m.name)) })
		if i < 0 {
			return nil
		}
		differs = own[i].name
	}
	return refuse("the base's %s is not that of the references' bases, and the target's stage uses it", differs)
}
