package sdk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// shownChanges is how many uncommitted changes a PathError lists.
const shownChanges = 20

// checkClean refuses a work tree with uncommitted changes, and lists them. What git ignores is no change, and neither is
// what submodules of the SDK's hold: no image is made of them.
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
		changes = append(changes, described(strings.TrimRight(line, "\n")))
	}
	if len(changes) == 0 {
		return nil
	}
	count := fmt.Sprintf("%d uncommitted changes", len(changes))
	if len(changes) == 1 {
		count = "an uncommitted change"
	}
	if more := len(changes) - shownChanges; more > 0 {
		changes = append(changes[:shownChanges], fmt.Sprintf("and %d more", more))
	}
	return w.wrong("commit them (a local commit is enough), or remove or ignore them: images are made of the commit, and named by it",
		"has %s:\n%s", count, strings.Join(changes, "\n"))
}

// recordInside is Record's path within the work tree, or nothing where it is elsewhere.
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

// described is a line of git status (its short format: two letters for index and work tree, then the path, quoted where
// it has characters of its own) in words.
func described(line string) string {
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
