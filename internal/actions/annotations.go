package actions

import (
	"fmt"
	"strings"
)

// The runner's limits (actions/runner ExecutionContext.cs): it silently drops more annotations of a kind in one step, and
// cuts longer messages. The limit of a title is that of GitHub's check-run annotations.
const (
	annotationsPerStep = 10
	messageLimit       = 4096
	titleLimit         = 255
)

type annotation struct{ title, message string }

// budget counts the annotations of one kind. It keeps the last one back, so that Flush can use it to summarize the
// annotations that did not fit.
type budget struct {
	kind  string
	spent int
	held  []annotation
}

// Error annotates the run with a failure. When the runner's limit is reached, it prints a plain line, and Flush reports the
// number of such lines.
func (r *Runner) Error(title, message string) { r.annotate(&r.errors, title, message) }

// Warning is like Error, with level warning.
func (r *Runner) Warning(title, message string) { r.annotate(&r.warnings, title, message) }

func (r *Runner) annotate(b *budget, title, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	title, message = r.firstPart(title), r.firstPart(message)
	a := annotation{truncate(r.cleanLine(title), titleLimit), truncate(r.cleanLines(message), messageLimit)}
	if r.inActions && b.spent < annotationsPerStep-1 {
		b.spent++
		r.issue(b, a)
		return
	}
	b.held = append(b.held, a)
	for line := range strings.Lines(b.kind + ": " + strings.TrimPrefix(a.title+": ", ": ") + a.message) {
		r.print(line)
	}
}

// Flush uses the last annotation of each kind: for the one annotation that was held back, or for the number and titles of
// several. Call it at the end of a run, also of a cancelled one. Later calls of Error and Warning print plain lines only.
func (r *Runner) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range []*budget{&r.errors, &r.warnings} {
		if r.inActions && len(b.held) > 0 && b.spent < annotationsPerStep {
			b.spent = annotationsPerStep
			r.issue(b, summarizeHeld(b))
		}
	}
}

func summarizeHeld(b *budget) annotation {
	if len(b.held) == 1 {
		return b.held[0]
	}
	var titles []string
	for _, a := range b.held {
		titles = append(titles, a.title)
	}
	return annotation{
		fmt.Sprintf("%d more %ss", len(b.held), b.kind),
		truncate("They are in the log and in the summary:\n"+strings.Join(titles, "\n"), messageLimit),
	}
}

func (r *Runner) issue(b *budget, a annotation) {
	commands := r.commands
	if a.title != "" {
		commands = commands.WithFieldsMap(map[string]string{"title": a.title})
	}
	if b == &r.errors {
		commands.Errorf("%s", a.message)
	} else {
		commands.Warningf("%s", a.message)
	}
}

// cleanLines cleans each line of a text. An annotation may have several.
func (r *Runner) cleanLines(text string) string {
	var clean []string
	for _, l := range strings.Split(strings.TrimSpace(r.redact(text)), "\n") {
		clean = append(clean, r.cleanLine(l))
	}
	return strings.Join(clean, "\n")
}

// truncate shortens a text to limit bytes. The runner counts characters, which are never more than bytes.
func truncate(text string, limit int) string {
	const end = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(end)], "") + end
}
