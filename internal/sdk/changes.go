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
	out, err := w.status(ctx, g, args)
	if err != nil || out == "" {
		return err
	}
	const lineEnds = "core.autocrlf=true"
	if again, err := w.status(ctx, g, append([]string{"-c", lineEnds}, args...)); err == nil && again == "" {
		return w.pathError("git config core.autocrlf true, in that folder, tells git what its line ends are; images are made of the commit",
			"has %d files that differ from the commit by their line ends only, as with %s", strings.Count(out, "\n"), lineEnds)
	}
	var changes []string
	for line := range strings.Lines(out) {
		changes = append(changes, shortLine(describeChange(strings.TrimRight(line, "\n"))))
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

// status runs git status with the configuration of the user, because a tree is as clean as it is for its user: core.autocrlf,
// core.eol, core.fileMode and core.excludesFile decide that. If git cannot read that configuration, status does without.
func (w WorkTree) status(ctx context.Context, g *git, args []string) (string, error) {
	out, err := w.git(ctx, g.asUser(), args...)
	if _, isProcess := output(err); isProcess && ctx.Err() == nil {
		return w.git(ctx, g, args...)
	}
	return out, err
}

// maxChange is the length of a line of a PathError, in bytes. git takes paths of up to 4096 bytes.
const maxChange = 100

func shortLine(line string) string {
	if len(line) <= maxChange {
		return line
	}
	return strings.ToValidUTF8(line[:maxChange], "") + "..."
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
