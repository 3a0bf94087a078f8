package basekey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	stdhash "hash"
	"io"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// hash collects what the result of a build depends on, field by field.
type hash struct {
	in        Inputs
	to        stdhash.Hash
	variables map[int]*variables // at the end of each stage hashed so far
}

func newHash(in Inputs) *hash {
	h := &hash{in: in, to: sha256.New(), variables: map[int]*variables{}}
	h.field("schema", schema)
	h.field("platform", in.Platform)
	for _, option := range in.Options { // A build without any has the key that it had before there was this field.
		h.field("option", option)
	}
	return h
}

// field adds a named value. Its length separates it from the next field.
func (h *hash) field(name, value string) {
	fmt.Fprintf(h.to, "%s %d\n", name, len(value))
	_, _ = io.WriteString(h.to, value) // A hash has no errors.
}

func (h *hash) sum() string { return hex.EncodeToString(h.to.Sum(nil)) }

// stage hashes a reached stage. Its parent comes before it.
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

// step hashes an instruction, and the context where the instruction reads it.
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
	reads, err := readsContext(v, s)
	if err != nil || !reads {
		return err
	}
	return h.context()
}

// arguments hashes the value of each argument: the one passed, or the default.
func (h *hash) arguments(r *reached, v *variables, args *instructions.ArgCommand) error {
	for _, arg := range args.Args {
		text, namesBase, err := v.argument(h.in, r.globals, arg)
		if err != nil {
			return err
		}
		if namesBase {
			return fmt.Errorf("argument %s contains the name of the base, which the digest of the base does not identify", arg.Key)
		}
		h.field("argument", arg.Key)
		h.field("value", text)
	}
	return nil
}
