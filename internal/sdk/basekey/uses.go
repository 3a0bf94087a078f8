package basekey

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// Uses is what the instructions of a stage use of the image that the stage is FROM. If that image has other values, the same
// instructions make something else.
type Uses struct {
	// Variables are the names that the instructions mention, sorted. They include ARGs, because a variable of the image overrides
	// an ARG of the same name (Dockerfile reference, "Using ARG variables").
	Variables []string
	// WorkingDir reports that the instructions have a relative path, or run a command in the image's working directory.
	WorkingDir bool
	// Shell reports that the instructions have a command in shell form, which the image's SHELL runs.
	Shell bool
}

// mention matches variables in an instruction's text. It also matches one that is quoted or escaped, or that the stage itself
// has set. That costs at most a rebase. A variable that is missed could make a wrong image.
var mention = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// UsesOf returns what the stage target uses of its image.
func UsesOf(dockerfile []byte, target string) (Uses, error) {
	f, err := parse(dockerfile)
	if err != nil {
		return Uses{}, err
	}
	i := f.find(target, len(f.stages))
	if i < 0 {
		return Uses{}, unresolvedf("the Dockerfile has no stage %s", target)
	}
	var t Uses
	mentioned := map[string]bool{}
	var ownDir, ownShell bool // the stage has set its own
	for _, s := range f.stages[i].steps {
		text := s.node.Original
		for _, doc := range s.node.Heredocs {
			text += "\n" + doc.Content
		}
		for _, found := range mention.FindAllStringSubmatch(text, -1) {
			mentioned[found[1]] = true
		}
		relative, inShell := false, false
		switch c := s.command.(type) {
		case *instructions.WorkdirCommand:
			relative = !strings.HasPrefix(c.Path, "/")
			ownDir = ownDir || !relative
		case *instructions.CopyCommand:
			relative = !strings.HasPrefix(c.DestPath, "/")
		case *instructions.AddCommand:
			relative = !strings.HasPrefix(c.DestPath, "/")
		case *instructions.RunCommand:
			relative, inShell = true, c.PrependShell
		case *instructions.CmdCommand:
			inShell = c.PrependShell
		case *instructions.EntrypointCommand:
			inShell = c.PrependShell
		case *instructions.ShellCommand:
			ownShell = true
		}
		t.WorkingDir = t.WorkingDir || relative && !ownDir
		t.Shell = t.Shell || inShell && !ownShell
	}
	t.Variables = slices.Sorted(maps.Keys(mentioned))
	return t, nil
}
