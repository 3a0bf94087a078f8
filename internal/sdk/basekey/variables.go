package basekey

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// variables are the variables whose values are known at some point of the file. BuildKit's lexer reads them. missed
// and sawBase describe the last word that was expanded.
type variables struct {
	lex       lexer
	values    map[string]string
	namesBase map[string]bool // variables whose value uses the name of the base

	missed  []string
	sawBase bool
}

func newVariables(lex lexer) *variables {
	return &variables{lex: lex, values: map[string]string{}, namesBase: map[string]bool{}}
}

// Get implements shell.EnvGetter.
func (v *variables) Get(name string) (string, bool) {
	value, ok := v.values[name]
	if !ok {
		v.missed = append(v.missed, name)
	}
	v.sawBase = v.sawBase || v.namesBase[name]
	return value, ok
}

// Keys implements shell.EnvGetter.
func (v *variables) Keys() []string { return slices.Collect(maps.Keys(v.values)) }

// set makes name known.
func (v *variables) set(name, value string, namesBase bool) {
	v.values[name], v.namesBase[name] = value, namesBase
}

// forget makes name unknown.
func (v *variables) forget(name string) {
	delete(v.values, name)
	delete(v.namesBase, name)
}

// word expands a word. The value is unknown if v.missed is not empty afterwards.
func (v *variables) word(word string) (string, error) {
	v.missed, v.sawBase = nil, false
	result, err := v.lex.ProcessWordWithMatches(word, v)
	if err != nil {
		return "", unresolvedf("expanding %s: %v", word, err)
	}
	return result.Result, nil
}

// known expands a word, and fails if its value is unknown.
func (v *variables) known(word string) (string, error) {
	value, err := v.word(word)
	if err == nil && len(v.missed) > 0 {
		err = unresolvedf("the Dockerfile does not say what $%s is in %s", v.missed[0], word)
	}
	return value, err
}

// clone copies v, for a stage FROM the one that v belongs to.
func (v *variables) clone() *variables {
	return &variables{lex: v.lex, values: maps.Clone(v.values), namesBase: maps.Clone(v.namesBase)}
}

// globals are the variables before the first FROM. Any other variable is empty.
type globals struct{ *variables }

// evaluate computes the global arguments and the variables that BuildKit sets itself. The platform of the builder is
// unknown.
func (f *file) evaluate(in Inputs) (globals, error) {
	g := globals{newVariables(f.lex)}
	os, rest, _ := strings.Cut(in.Platform, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	predefined := map[string]string{
		"TARGETPLATFORM": in.Platform, "TARGETOS": os, "TARGETARCH": arch,
		"TARGETVARIANT": variant, "TARGETOSVERSION": "", "TARGETSTAGE": in.Target,
	}
	for name, value := range predefined {
		g.set(name, value, false)
	}
	for name, value := range in.Args {
		if _, ok := predefined[name]; ok || isBuilderVariable(name) {
			g.set(name, value, false)
		}
	}
	for _, arg := range f.globals {
		if value, passed := in.Args[arg.Key]; passed {
			g.set(arg.Key, value, arg.Key == BaseArgument)
		} else if arg.Value != nil {
			value, err := g.expand(*arg.Value)
			if err != nil {
				return globals{}, err
			}
			g.set(arg.Key, value, g.sawBase)
		}
	}
	return g, nil
}

// isBuilderVariable reports whether a variable describes the machine that builds.
func isBuilderVariable(name string) bool {
	return slices.Contains([]string{"BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT"}, name)
}

// expand expands a word of a FROM or of a global argument.
func (g globals) expand(word string) (string, error) {
	value, err := g.word(word)
	if i := slices.IndexFunc(g.missed, isBuilderVariable); err == nil && i >= 0 {
		err = unresolvedf("$%s in %s depends on the builder", g.missed[i], word)
	}
	return value, err
}

// argument adds an ARG of a stage to v and returns its value for the hash: "=value", "~text" if its default uses unknown
// variables, or "-" if it has no value.
func (v *variables) argument(in Inputs, g globals, arg instructions.KeyValuePairOptional) (
	text string, namesBase bool, err error,
) {
	value, passed := in.Args[arg.Key]
	inherited, isGlobal := g.values[arg.Key]
	switch {
	case passed:
		namesBase = arg.Key == BaseArgument
	case arg.Value != nil:
		if value, err = v.word(*arg.Value); err != nil {
			return "", false, err
		}
		if namesBase = v.sawBase; len(v.missed) > 0 {
			v.forget(arg.Key)
			return "~" + *arg.Value, namesBase, nil
		}
	case isGlobal:
		value, namesBase = inherited, g.namesBase[arg.Key]
	default:
		return "-", false, nil // It keeps its value from the parent stage or the base.
	}
	v.set(arg.Key, value, namesBase)
	return "=" + value, namesBase, nil
}

// environment adds the variables of an ENV. The text of the instruction is in the hash already.
func (v *variables) environment(env *instructions.EnvCommand) error {
	before := v.clone()
	for _, pair := range env.Env {
		name, err := before.known(pair.Key)
		if err != nil {
			return err
		}
		value, err := before.word(pair.Value)
		if err != nil {
			return err
		}
		if len(before.missed) > 0 {
			v.forget(name)
		} else {
			v.set(name, value, before.sawBase)
		}
	}
	return nil
}
