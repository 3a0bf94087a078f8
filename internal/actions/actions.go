// Package actions speaks the GitHub Actions runner's protocol: inputs, outputs, groups, masks, annotations and the
// step summary. Outside of a runner it prints plain lines, and no commands.
package actions

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sethvargo/go-githubactions"
)

// Runner is the runner that this process is a step of, or a terminal. Its methods may be called from many goroutines.
type Runner struct {
	getenv    func(string) string
	inActions bool
	commands  *githubactions.Action

	mu               sync.Mutex
	out              io.Writer
	secrets          []string
	errors, warnings budget
}

// New makes a Runner that prints to stdout and finds out through getenv where it is.
func New(stdout io.Writer, getenv func(string) string) *Runner {
	out := unfailing{stdout}
	return &Runner{
		getenv:    getenv,
		inActions: getenv("GITHUB_ACTIONS") == "true",
		commands:  githubactions.New(githubactions.WithWriter(out), githubactions.WithGetenv(getenv)),
		out:       out,
		errors:    budget{word: "error"},
		warnings:  budget{word: "warning"},
	}
}

// unfailing hides write errors: the library panics on them, and a log that nobody reads any more must not end a run
// whose images are worth having.
type unfailing struct{ io.Writer }

func (w unfailing) Write(p []byte) (int, error) {
	_, _ = w.Writer.Write(p)
	return len(p), nil
}

// InActions says whether a runner listens.
func (r *Runner) InActions() bool { return r.inActions }

// Input gives the value of an input, without the blanks around it; "" means that it was not given.
func (r *Runner) Input(name string) string { return r.commands.GetInput(name) }

// Mask keeps a secret, and each line of one that has several, out of everything that is printed from now on, here and
// by the runner. It prints the secret itself, in a command that the runner does not show; so it comes before anything
// else, and outside of a runner it prints nothing.
func (r *Runner) Mask(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole := strings.TrimSpace(secret)
	lines := strings.FieldsFunc(whole, func(c rune) bool { return c == '\n' || c == '\r' })
	for _, part := range append([]string{whole}, lines...) {
		// The runner refuses to mask nothing, and to mask a blank would hide every blank of the log.
		if part = strings.TrimSpace(part); part == "" || slices.Contains(r.secrets, part) {
			continue
		}
		r.secrets = append(r.secrets, part)
		if r.inActions {
			r.commands.AddMask(part)
		}
	}
	// One secret may be a part of another: the longest is looked for first.
	slices.SortStableFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// redacted hides the secrets in a text.
func (r *Runner) redacted(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// line makes one harmless line of a text.
func (r *Runner) line(text string) string { return r.redacted(harmless(r.redacted(text))) }

// Info prints one line. It may come from anywhere, such as a build's output: nothing in it is a command.
func (r *Runner) Info(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(text)
}

func (r *Runner) print(text string) { fmt.Fprintln(r.out, r.line(text)) }

// Group begins a part of the log that can be folded. Groups do not nest.
func (r *Runner) Group(title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.inActions {
		r.print(title)
		return
	}
	r.commands.Group(r.line(title))
}

// EndGroup ends it.
func (r *Runner) EndGroup() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inActions {
		r.commands.EndGroup()
	}
}
