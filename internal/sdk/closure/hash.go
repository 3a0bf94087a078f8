package closure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	stdhash "hash"
	"io"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// hash takes in what a result depends on, field by field.
type hash struct {
	in         Inputs
	to         stdhash.Hash
	variables  map[int]*variables // at the ends of the stages that were hashed
	hasContext bool               // whether something was read from the context
}

func newHash(in Inputs) *hash {
	h := &hash{in: in, to: sha256.New(), variables: map[int]*variables{}}
	h.field("schema", schema)
	h.field("platform", in.Platform)
	return h
}

// field adds a value under a name. Its length keeps it apart from what follows.
func (h *hash) field(name, value string) {
	fmt.Fprintf(h.to, "%s %d\n", name, len(value))
	_, _ = io.WriteString(h.to, value) // A hash has no errors.
}

func (h *hash) sum() string { return hex.EncodeToString(h.to.Sum(nil)) }

// stage hashes a stage that is reached; those that it is FROM come before.
func (h *hash) stage(r *reached, i int) error {
	own := r.stages[i]
	h.field("stage", r.name(source{stage: i}))
	h.field("from", r.name(own.from))
	h.field("from platform", own.platform)
	v := newVariables(r.file.lex)
	if parent := h.variables[own.from.stage]; parent != nil && own.from.image == "" {
		v = parent.clone()
	}
	h.variables[i] = v
	for n, s := range r.file.stages[i].steps {
		if err := h.step(r, v, s); err != nil {
			return err
		}
		for _, from := range own.steps[n] {
			h.field("source", r.name(from))
		}
	}
	return nil
}

// step hashes an instruction, and what it takes from the context.
func (h *hash) step(r *reached, v *variables, s step) error {
	if args, ok := s.command.(*instructions.ArgCommand); ok {
		return h.arguments(r, v, args)
	}
	h.field("instruction", s.node.Original)
	for _, doc := range s.node.Heredocs {
		// Name, expansion and indentation are in the instruction.
		h.field("here-document", doc.Content)
	}
	if env, ok := s.command.(*instructions.EnvCommand); ok {
		return v.environment(env)
	}
	paths, err := contextPaths(v, s)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := h.context(p); err != nil {
			return err
		}
	}
	return nil
}

// arguments hashes the value of each argument, not the default that a passed one replaces.
func (h *hash) arguments(r *reached, v *variables, args *instructions.ArgCommand) error {
	for _, arg := range args.Args {
		text, ofBase, err := v.argument(h.in, r.globals, arg)
		if err != nil {
			return err
		}
		if ofBase {
			return fmt.Errorf("its argument %s holds the base's name, which the base's digest does not tell", arg.Key)
		}
		h.field("argument", arg.Key)
		h.field("value", text)
	}
	return nil
}
