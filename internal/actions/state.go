package actions

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// SaveState keeps a value for the action's post step, which reads it with State. Outside of a runner nothing is written.
func (r *Runner) SaveState(name, value string) (err error) {
	switch {
	case !outputName.MatchString(name) || strings.ContainsFunc(value, unicode.IsControl) || strings.Contains(value, libraryDelimiter):
		return fmt.Errorf("saving state %q: name and value must be plain words", name)
	case !r.inActions:
		return nil
	case r.getenv("GITHUB_STATE") == "":
		return errors.New("saving state: the runner named no file for it (GITHUB_STATE)")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// The library panics where it cannot write.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("saving state %s: %v", name, p)
		}
	}()
	r.commands.SaveState(name, value)
	return nil
}

// State gives what an earlier part of the step has saved; "" if it has saved nothing, or nothing has arrived.
func (r *Runner) State(name string) string { return r.getenv("STATE_" + name) }
