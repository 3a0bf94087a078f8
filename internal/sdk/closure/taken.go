package closure

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// Taken is what the instructions of a stage take in of the image that the stage is FROM. Where that image has other
// values, the same instructions make something else.
type Taken struct {
	// Variables are the names that the instructions mention, sorted. Names of ARGs are among them, because a variable of the
	// image goes before an ARG of its name (Dockerfile reference, "Using ARG variables").
	Variables []string
	// WorkingDir says that they have a relative path, or run a command in the image's working directory.
	WorkingDir bool
	// Shell says that they have a command in shell form, which the image's SHELL runs.
	Shell bool
}

// mention finds variables in an instruction's text. One that is quoted or escaped, or that the stage itself has set, counts
// too: at worst that costs a rebase, and a variable that is overlooked makes a wrong image.
var mention = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// TakenBy reads what the stage target takes in.
func TakenBy(dockerfile []byte, target string) (Taken, error) {
	f, err := parse(dockerfile)
	if err != nil {
		return Taken{}, err
	}
	i := f.find(target, len(f.stages))
	if i < 0 {
		return Taken{}, unresolvedf("the Dockerfile has no stage %s", target)
	}
	var t Taken
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
