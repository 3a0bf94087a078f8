package basekey

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// emptyImage is the name of the empty image in FROM.
const emptyImage = "scratch"

// reached has the stages that a target is built from.
type reached struct {
	file    *file
	globals globals
	stages  map[int]reachedStage
}

type reachedStage struct {
	from     source
	platform string // the value of --platform
	steps    [][]source
}

// source is an image or a stage from which a stage or an instruction takes files. base reports that the image is the base.
type source struct {
	stage int
	image string
	base  bool
}

// reach finds the stages that a target is built from.
func (f *file) reach(in Inputs, target int) (*reached, error) {
	g, err := f.evaluate(in)
	if err != nil {
		return nil, err
	}
	r := &reached{f, g, map[int]reachedStage{}}
	return r, r.add(in, target)
}

func (r *reached) add(in Inputs, i int) error {
	if _, done := r.stages[i]; done {
		return nil
	}
	own, err := r.from(in, i)
	if err != nil {
		return err
	}
	for _, s := range r.file.stages[i].steps {
		sources, err := r.file.sources(s)
		if err != nil {
			return err
		}
		own.steps = append(own.steps, sources)
	}
	r.stages[i] = own
	for _, s := range slices.Concat(append(own.steps, []source{own.from})...) {
		if s.image == "" {
			if err := r.add(in, s.stage); err != nil {
				return err
			}
		}
	}
	return nil
}

// from resolves the FROM of stage i.
func (r *reached) from(in Inputs, i int) (own reachedStage, err error) {
	stage := r.file.stages[i].from
	if own.platform, err = r.globals.word(stage.Platform); err != nil {
		return own, err
	}
	if len(r.globals.missed) > 0 {
		own.platform = stage.Platform // Often the platform of the builder. Nothing is looked up by it, so its text is enough.
	}
	name, err := r.globals.expand(stage.BaseName)
	if err != nil {
		return own, err
	}
	if name == "" {
		return own, unresolvedf("FROM %s has no name with these arguments", stage.BaseName)
	}
	namesBase := r.globals.sawBase
	if parent := r.file.find(name, i); parent >= 0 {
		own.from = source{stage: parent}
		return own, nil
	}
	if namesBase && name != in.Args[BaseArgument] {
		return own, fmt.Errorf("FROM %s uses %s and is another image", stage.BaseName, BaseArgument)
	}
	own.from = source{image: name, base: namesBase}
	return own, nil
}

// sources returns the stages and images that an instruction takes files from, in order.
func (f *file) sources(s step) ([]source, error) {
	switch c := s.command.(type) {
	case *instructions.OnbuildCommand:
		return nil, unresolvedf("line %d: ONBUILD acts in another stage", s.node.StartLine)
	case *instructions.CopyCommand:
		if c.From == "" {
			return nil, nil
		}
		from, err := f.copySource(c.From)
		return []source{from}, err
	case *instructions.RunCommand:
		var all []source
		for _, mount := range instructions.GetMounts(c) {
			if mount.From != "" {
				all = append(all, f.named(mount.From))
			}
		}
		return all, nil
	}
	return nil, nil
}

// copySource resolves COPY --from. A number always refers to a stage.
func (f *file) copySource(from string) (source, error) {
	v := newVariables(f.lex)
	if word, err := v.word(from); err != nil || word != from {
		return source{}, unresolvedf("--from=%s is not constant", from)
	}
	number, err := strconv.Atoi(from)
	if err != nil {
		return f.named(from), nil
	}
	if number < 0 || number >= len(f.stages) {
		return source{}, unresolvedf("there is no stage for --from=%s", from)
	}
	return source{stage: number}, nil
}

// named returns the stage of that name, wherever it is in the file, or else an image.
func (f *file) named(name string) source {
	if i := f.find(name, len(f.stages)); i >= 0 {
		return source{stage: i}
	}
	return source{image: name}
}

// name returns the name of a source in the hash. Stages are numbered in the order of the reached ones.
func (r *reached) name(s source) string {
	switch {
	case s.base:
		return "base"
	case s.image == emptyImage:
		return emptyImage
	case s.image != "":
		return "image " + s.image
	}
	place, _ := slices.BinarySearch(slices.Sorted(maps.Keys(r.stages)), s.stage)
	return fmt.Sprintf("stage %d", place)
}
