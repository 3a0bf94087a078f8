package basekey

import (
	"bytes"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// file is a parsed Dockerfile.
type file struct {
	stages        []stage
	globals       []instructions.KeyValuePairOptional // the arguments before the first FROM, in order
	lex           lexer
	syntax, check string // directives
}

type stage struct {
	from  *instructions.Stage
	steps []step
}

// step is an instruction: its text and its meaning.
type step struct {
	node    *parser.Node
	command instructions.Command
}

// lexer expands variables with the escape character of the file.
type lexer struct {
	*shell.Lex
	escape rune
}

// parse parses a Dockerfile. Its errors are unresolved, because the frontend that the syntax directive names may accept more.
func parse(dockerfile []byte) (*file, error) {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, unresolvedf("reading the Dockerfile: %v", err)
	}
	f := &file{lex: lexer{shell.NewLex(parsed.EscapeToken), parsed.EscapeToken}}
	_, f.syntax, _, _ = parser.DetectSyntax(dockerfile)
	_, f.check, _, _ = parser.ParseDirective("check", dockerfile)
	for _, node := range parsed.AST.Children {
		if err := f.add(node); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *file) add(node *parser.Node) error {
	// Without a linter BuildKit's parser panics at a comment "check=...".
	parsed, err := instructions.ParseInstructionWithLinter(node, linter.New(&linter.Config{}))
	if err != nil {
		return unresolvedf("reading the Dockerfile, line %d: %v", node.StartLine, err)
	}
	if from, ok := parsed.(*instructions.Stage); ok {
		f.stages = append(f.stages, stage{from: from})
		return nil
	}
	if len(f.stages) > 0 {
		last := &f.stages[len(f.stages)-1]
		last.steps = append(last.steps, step{node, parsed.(instructions.Command)})
		return nil
	}
	arg, ok := parsed.(*instructions.ArgCommand)
	if !ok {
		return unresolvedf("reading the Dockerfile, line %d: %s before the first FROM", node.StartLine, node.Value)
	}
	f.globals = append(f.globals, arg.Args...)
	return nil
}

// find returns the last stage with that name among the first end stages, or -1. It ignores letter case.
func (f *file) find(name string, end int) int {
	for i := end - 1; i >= 0; i-- {
		if own := f.stages[i].from.Name; own != "" && strings.EqualFold(own, name) {
			return i
		}
	}
	return -1
}

// DirectlyOn reports whether the stage target is FROM stage itself. It ignores letter case.
func DirectlyOn(dockerfile []byte, target, stage string) bool {
	f, err := parse(dockerfile)
	if err != nil {
		return false
	}
	i := f.find(target, len(f.stages))
	if i < 0 {
		return false
	}
	g, err := f.evaluate(Inputs{})
	if err != nil {
		return false
	}
	from, err := g.expand(f.stages[i].from.BaseName)
	return err == nil && strings.EqualFold(from, stage) && f.find(from, i) >= 0
}
