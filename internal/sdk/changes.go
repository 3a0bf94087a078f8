package sdk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// maxListedChanges is how many uncommitted changes a PathError lists at most.
const maxListedChanges = 20

// checkClean returns a *PathError that lists the uncommitted changes, if there are any. It skips ignored files and
// submodules: no image contains them.
func (w WorkTree) checkClean(ctx context.Context, g *git) error {
	args := []string{"status", "--porcelain=v1", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all"}
	if record := w.recordInside(); record != "" {
		args = append(args, "--", ".", ":(exclude,literal)"+record)
	}
	out, err := w.git(ctx, g, args...)
	if err != nil {
		return err
	}
	var changes []string
	for line := range strings.Lines(out) {
		changes = append(changes, describeChange(strings.TrimRight(line, "\n")))
	}
	if len(changes) == 0 {
		return nil
	}
	count := fmt.Sprintf("%d uncommitted changes", len(changes))
	if len(changes) == 1 {
		count = "an uncommitted change"
	}
	if more := len(changes) - maxListedChanges; more > 0 {
		changes = append(changes[:maxListedChanges], fmt.Sprintf("and %d more", more))
	}
	return w.pathError("commit them (a local commit is enough), or remove or ignore them: images are made of the commit, and named by it",
		"has %s:\n%s", count, strings.Join(changes, "\n"))
}

// recordInside returns the path of Record relative to the work tree, or "" if Record is outside.
func (w WorkTree) recordInside() string {
	if w.Record == "" {
		return ""
	}
	top, err := filepath.EvalSymlinks(w.dir())
	if err != nil {
		return ""
	}
	base, err := filepath.EvalSymlinks(w.Base)
	if err != nil {
		return ""
	}
	inside, err := filepath.Rel(top, filepath.Join(base, w.Record))
	if err != nil || !filepath.IsLocal(inside) || inside == "." {
		return ""
	}
	return inside
}

// describeChange turns a line of git status into words. In its short format two letters stand for index and work tree;
// the path follows, quoted if it has special characters.
func describeChange(line string) string {
	if len(line) < 4 {
		return line
	}
	state, path := line[:2], line[3:]
	word := "modified"
	switch {
	case state == "??":
		word = "untracked"
	case strings.Contains(state, "U") || state == "AA" || state == "DD":
		word = "unmerged"
	case strings.Contains(state, "D"):
		word = "deleted"
	case state[0] == 'A':
		word = "added"
	}
	if state[1] == ' ' {
		word += ", staged"
	}
	return word + ": " + path
}
