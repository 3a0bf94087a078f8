package closure

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// variables are those whose value is known at some place of the file. It is what BuildKit's lexer asks, and it keeps
// what the lexer asked for: in vain, or of the base.
type variables struct {
	lex    lexer
	values map[string]string
	ofBase map[string]bool // those whose value has something of the base's name

	missed  []string
	hasBase bool
}

func newVariables(lex lexer) *variables {
	return &variables{lex: lex, values: map[string]string{}, ofBase: map[string]bool{}}
}

// Get is for the lexer.
func (v *variables) Get(name string) (string, bool) {
	value, ok := v.values[name]
	if !ok {
		v.missed = append(v.missed, name)
	}
	v.hasBase = v.hasBase || v.ofBase[name]
	return value, ok
}

// Keys is for the lexer.
func (v *variables) Keys() []string { return slices.Collect(maps.Keys(v.values)) }

// set makes name known.
func (v *variables) set(name, value string, ofBase bool) {
	v.values[name], v.ofBase[name] = value, ofBase
}

// forget makes name unknown.
func (v *variables) forget(name string) {
	delete(v.values, name)
	delete(v.ofBase, name)
}

// word expands a word. Its value is known if v.missed is empty then.
func (v *variables) word(word string) (string, error) {
	v.missed, v.hasBase = nil, false
	result, err := v.lex.ProcessWordWithMatches(word, v)
	if err != nil {
		return "", unresolvedf("expanding %s: %v", word, err)
	}
	return result.Result, nil
}

// known expands a word whose value has to be known.
func (v *variables) known(word string) (string, error) {
	value, err := v.word(word)
	if err == nil && len(v.missed) > 0 {
		err = unresolvedf("the Dockerfile does not say what $%s is in %s", v.missed[0], word)
	}
	return value, err
}

// clone gives what is known at the begin of a stage FROM the one at whose end v is.
func (v *variables) clone() *variables {
	return &variables{lex: v.lex, values: maps.Clone(v.values), ofBase: maps.Clone(v.ofBase)}
}

// globals are the variables before the first FROM. A name that is not among them is empty.
type globals struct{ *variables }

// evaluate gives the global arguments their values, with those that BuildKit itself sets. Nobody says here on which
// platform the builder runs.
func (f *file) evaluate(in Inputs) (globals, error) {
	g := globals{newVariables(f.lex)}
	os, rest, _ := strings.Cut(in.Platform, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	predefined := map[string]string{"TARGETPLATFORM": in.Platform, "TARGETOS": os, "TARGETARCH": arch,
		"TARGETVARIANT": variant, "TARGETOSVERSION": "", "TARGETSTAGE": in.Target}
	for name, value := range predefined {
		g.set(name, value, false)
	}
	for name, value := range in.Args {
		if _, ok := predefined[name]; ok || builders(name) {
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
			g.set(arg.Key, value, g.hasBase)
		}
	}
	return g, nil
}

// builders says that name is a variable that tells of the machine that builds.
func builders(name string) bool {
	return slices.Contains([]string{"BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT"}, name)
}

// expand expands a word of a FROM or of a global argument.
func (g globals) expand(word string) (string, error) {
	value, err := g.word(word)
	if i := slices.IndexFunc(g.missed, builders); err == nil && i >= 0 {
		err = unresolvedf("$%s in %s depends on the builder", g.missed[i], word)
	}
	return value, err
}

// argument is the value that a stage's ARG has: "=value", "~text" where variables in its default are not known, or "-"
// where it has none. v learns it.
func (v *variables) argument(in Inputs, g globals, arg instructions.KeyValuePairOptional) (
	text string, ofBase bool, err error,
) {
	value, passed := in.Args[arg.Key]
	inherited, isGlobal := g.values[arg.Key]
	switch {
	case passed:
		ofBase = arg.Key == BaseArgument
	case arg.Value != nil:
		if value, err = v.word(*arg.Value); err != nil {
			return "", false, err
		}
		if ofBase = v.hasBase; len(v.missed) > 0 {
			v.forget(arg.Key)
			return "~" + *arg.Value, ofBase, nil
		}
	case isGlobal:
		value, ofBase = inherited, g.ofBase[arg.Key]
	default:
		return "-", false, nil // As before: a parent's, or the base's.
	}
	v.set(arg.Key, value, ofBase)
	return "=" + value, ofBase, nil
}

// environment learns what an ENV sets. Its text is in the hash, and with it its value.
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
			v.set(name, value, before.hasBase)
		}
	}
	return nil
}
