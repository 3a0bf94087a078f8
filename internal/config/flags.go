package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags has the values that a command line gives to inputs. The zero value has none.
type Flags struct {
	values map[string]string
	twice  []error
	// unread are inputs whose variables are not read, because the command does not take them.
	unread []string
}

// AddTo adds a flag for each of the inputs to set, all of them if none is named.
func (f *Flags) AddTo(set *pflag.FlagSet, names ...string) {
	for _, in := range allFlags() {
		if len(names) > 0 && !slices.Contains(names, in.Name) {
			continue
		}
		flag := set.VarPF(&flagValue{in, f}, in.Name, "", in.flagHelp())
		if in.kind == boolean {
			flag.NoOptDefVal = "true"
		}
	}
}

// Set gives an input a value, as its flag does.
func (f *Flags) Set(input, value string) {
	if f.values == nil {
		f.values = map[string]string{}
	}
	f.values[input] = value
}

// Get returns the value of a flag, or "".
func (f *Flags) Get(input string) string { return f.values[input] }

// Only leaves out the variables of all inputs that are not named.
func (f *Flags) Only(names ...string) {
	for _, in := range allFlags() {
		if !slices.Contains(names, in.Name) {
			f.unread = append(f.unread, in.Name)
		}
	}
}

// Sources returns where the value of an input comes from: its flag, then the action's input, then the variable of the command line.
// variable is nil where variables are not read.
func (f *Flags) Sources(input, variable func(name string) string) func(name string) string {
	return func(name string) string {
		if value := f.values[name]; strings.TrimSpace(value) != "" || slices.Contains(f.unread, name) {
			return value
		}
		if value := input(name); strings.TrimSpace(value) != "" && !isFlagOnly(name) {
			return value
		}
		if variable == nil {
			return ""
		}
		return variable(Variable(name))
	}
}

// Err joins an *InputError for each flag that is given twice.
func (f *Flags) Err() error { return errors.Join(f.twice...) }

// VariablePrefix begins the names of the environment variables of the command line.
const VariablePrefix = "EVAL_IMAGES_"

// Variable names the environment variable of an input: "EVAL_IMAGES_SDK_REF".
func Variable(input string) string {
	return VariablePrefix + strings.ToUpper(strings.ReplaceAll(input, "-", "_"))
}

// UnknownVariables describes the variables of the command line that belong to no input.
func UnknownVariables(environ []string) (warnings []string) {
	var known []string
	for _, name := range FlagNames() {
		known = append(known, Variable(name))
	}
	for _, assignment := range environ {
		name, _, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, VariablePrefix) || slices.Contains(known, name) {
			continue
		}
		warning := "the variable " + name + " belongs to no flag, and is not read"
		if near := Nearest(name, known); near != "" {
			warning += "; did you mean " + near + "?"
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// Secrets names the inputs whose values are secrets.
func Secrets() (names []string) {
	for _, in := range inputs {
		if (in.kind == secret || in.kind == secretLines) && !strings.HasSuffix(in.Name, "-username") {
			names = append(names, in.Name)
		}
	}
	return names
}

// FlagNames names the flags that are inputs.
func FlagNames() (names []string) {
	for _, in := range allFlags() {
		names = append(names, in.Name)
	}
	return names
}

// FlagGroups lists the headings of the flags, and the names of those below each.
func FlagGroups() (groups []Group, names map[Group][]string) {
	names = map[Group][]string{}
	for _, in := range allFlags() {
		if !slices.Contains(groups, in.Group) {
			groups = append(groups, in.Group)
		}
		names[in.Group] = append(names[in.Group], in.Name)
	}
	return groups, names
}

// Choices are the values of an input that takes one of a few words.
func Choices(input string) []string {
	switch in := inputNamed(input); in.kind {
	case choice:
		return in.choices
	case boolean:
		return []string{"true", "false"}
	default:
		return nil
	}
}

func isFlagOnly(name string) bool {
	return slices.ContainsFunc(flagsOnly, func(in Input) bool { return in.Name == name })
}

// flagHelp is the description on the command line, where there is no Markdown, and paths begin in the working directory.
func (in Input) flagHelp() string {
	return strings.NewReplacer("`", "", " in the workspace", "").Replace(in.Description())
}

// flagValue is the value of one flag. Parse checks it, so that all mistakes are told together.
type flagValue struct {
	in    Input
	flags *Flags
}

func (v *flagValue) String() string { return "" }

// Type is the word for the value in the help.
func (v *flagValue) Type() string {
	switch v.in.kind {
	case boolean:
		return "bool"
	case integer:
		return "N"
	case choice:
		return "WORD"
	case duration:
		return "TIME"
	default:
		return "TEXT"
	}
}

// Set takes a value. Values of several lines may be given in several flags.
func (v *flagValue) Set(value string) error {
	name := v.in.Name
	old, again := v.flags.values[name]
	switch {
	case again && v.in.kind == lines:
		value = old + "\n" + value
	case again:
		v.flags.twice = append(v.flags.twice, &InputError{Input: name, Problem: "is set twice", Fix: "set it once"})
	}
	v.flags.Set(name, value)
	return nil
}
