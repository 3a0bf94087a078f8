package actions

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The runner's limits (actions/runner ExecutionContext.cs): so many annotations of a kind for each step, silently
// dropping the others, and so many characters in a message. A title's is that of GitHub's check-run annotations, 255.
const (
	annotationsPerStep = 10
	messageLimit       = 4096
	titleLimit         = 255
)

type annotation struct{ title, message string }

// budget holds back what comes when only one annotation is left: the last one tells how many there are.
type budget struct {
	word  string
	spent int
	held  []annotation
}

// Error annotates the run with what failed. Where the runner has no room for more, it is a plain line, and Flush
// counts it.
func (r *Runner) Error(title, message string) { r.annotate(&r.errors, title, message) }

// Warning is like Error, for what did not fail.
func (r *Runner) Warning(title, message string) { r.annotate(&r.warnings, title, message) }

func (r *Runner) annotate(b *budget, title, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := annotation{cut(r.line(title), titleLimit), cut(r.lines(message), messageLimit)}
	if r.inActions && b.spent < annotationsPerStep-1 {
		b.spent++
		r.issue(b, a)
		return
	}
	b.held = append(b.held, a)
	for line := range strings.Lines(b.word + ": " + strings.TrimPrefix(a.title+": ", ": ") + a.message) {
		r.print(line)
	}
}

// Flush spends the last annotation of each kind: on the one that was held back or, if there were more, on their number
// and titles. It belongs at the end of a run, also of one that is cancelled; what comes later is plain lines only.
func (r *Runner) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range []*budget{&r.errors, &r.warnings} {
		if r.inActions && len(b.held) > 0 && b.spent < annotationsPerStep {
			b.spent = annotationsPerStep
			r.issue(b, last(b))
		}
	}
}

func last(b *budget) annotation {
	if len(b.held) == 1 {
		return b.held[0]
	}
	var titles []string
	for _, a := range b.held {
		titles = append(titles, a.title)
	}
	return annotation{
		fmt.Sprintf("%d more %ss", len(b.held), b.word),
		cut("They are in the log and in the summary:\n"+strings.Join(titles, "\n"), messageLimit),
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

// lines makes each line of a text harmless; an annotation may have several.
func (r *Runner) lines(text string) string {
	var clean []string
	for _, l := range strings.Split(strings.TrimSpace(r.redacted(text)), "\n") {
		clean = append(clean, r.line(l))
	}
	return strings.Join(clean, "\n")
}

// cut shortens a text to a number of bytes, which are never fewer than the characters that the runner counts.
func cut(text string, limit int) string {
	const end = "..."
	if len(text) <= limit {
		return text
	}
	text = text[:limit-len(end)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + end
}
