// Package actions speaks the GitHub Actions runner's protocol: inputs, outputs, state, groups, masks, annotations and the
// step summary. Outside of a runner it prints plain lines and no commands.
package actions

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/sethvargo/go-githubactions"
)

// Runner is the GitHub Actions runner, or a terminal. Its methods are safe for concurrent use.
type Runner struct {
	getenv    func(string) string
	inActions bool
	commands  *githubactions.Action

	mu               sync.Mutex
	out              io.Writer
	quiet            bool
	secrets          []string
	errors, warnings budget
}

// New returns a Runner that prints to stdout. getenv reads the environment variables of the step.
func New(stdout io.Writer, getenv func(string) string) *Runner {
	out := ignoreWriteErrors{stdout}
	return &Runner{
		getenv:    getenv,
		inActions: getenv("GITHUB_ACTIONS") == "true",
		commands:  githubactions.New(githubactions.WithWriter(out), githubactions.WithGetenv(getenv)),
		out:       out,
		errors:    budget{kind: "error"},
		warnings:  budget{kind: "warning"},
	}
}

// ignoreWriteErrors hides write errors from the library, which panics on them. The images of a run are worth having even
// if nobody reads its log any more.
type ignoreWriteErrors struct{ io.Writer }

func (w ignoreWriteErrors) Write(p []byte) (int, error) {
	_, _ = w.Writer.Write(p)
	return len(p), nil
}

// InActions reports whether this process is a step of a workflow.
func (r *Runner) InActions() bool { return r.inActions }

// Input returns the value of an input without the blanks around it. An input that is not set is empty.
func (r *Runner) Input(name string) string { return r.commands.GetInput(name) }

// shortestLine is the length in bytes of the shortest line that Mask hides of a secret of several lines. A JSON key has lines
// such as "{": hiding these would hide every brace of the log.
const shortestLine = 4

// Mask hides the lines of a secret in everything that Runner or the runner prints from now on. The command that it prints
// contains the secret, but the runner does not show that command. So call Mask before anything else prints the secret. Outside
// of a runner it prints nothing.
func (r *Runner) Mask(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The runner would split a secret into lines too, and hide even the shortest (actions/runner, ActionCommandManager.cs).
	lines := strings.FieldsFunc(strings.TrimSpace(secret), func(c rune) bool { return c == '\n' || c == '\r' })
	for _, line := range lines {
		// The runner rejects an empty mask. A mask of one blank would hide every blank of the log.
		line = strings.TrimSpace(line)
		if line == "" || len(lines) > 1 && len(line) < shortestLine || slices.Contains(r.secrets, line) {
			continue
		}
		r.secrets = append(r.secrets, line)
		if r.inActions {
			r.commands.AddMask(line)
		}
	}
	// One secret may be a part of another: replace the longest first.
	slices.SortStableFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// userInfo matches the user and password of a URL, which may contain "@" (net/url takes the last one). A user without a password is
// a token. signedQuery matches a query that gives access to what the URL names: registries and the hub redirect to such addresses of
// a storage, and errors of net/http repeat them.
var (
	userInfo    = regexp.MustCompile(`://[^\s/"<>]*@`)
	signedQuery = regexp.MustCompile(`(?i)\?[^\s"'<>]*\b(x-(amz|goog)-\w+|signature|sig|token|verify)=[^\s"'<>]*`)
)

// Redact replaces the secrets in a text by ***: those that Mask got, and those in URLs.
func (r *Runner) Redact(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.redact(text)
}

func (r *Runner) redact(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if strings.Contains(text, "://") {
		text = userInfo.ReplaceAllString(text, "://***@")
		text = signedQuery.ReplaceAllString(text, "?***")
	}
	return text
}

// cleanLine makes a text one line without secrets and commands. sanitizeLine may join the parts of a secret, so it redacts
// twice.
func (r *Runner) cleanLine(text string) string { return r.redact(sanitizeLine(r.redact(text))) }

// Info prints one line. The text may come from anywhere, such as a build's output: the runner finds no command in it.
func (r *Runner) Info(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.quiet {
		r.print(text)
	}
}

// Quiet hides all that Info and Group print from now on.
func (r *Runner) Quiet() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiet = true
}

// Clean returns a text as Info prints it: one line, without secrets and commands.
func (r *Runner) Clean(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lineOf(text)
}

// maxLine limits a line of the log, in bytes. The runner's live log cuts lines at 1024 characters (actions/runner,
// JobServerQueue.cs).
const maxLine = 8 << 10

// maxInput is how many bytes of a text are cleaned, which takes longer than to cut it: enough for an annotation of several lines.
const maxInput = 64 << 10

// firstPart returns the first maxInput bytes of a text. It redacts before, because a cut may leave a part of a secret.
func (r *Runner) firstPart(text string) string { return truncate(r.redact(text), maxInput) }

func (r *Runner) lineOf(text string) string { return truncate(r.cleanLine(r.firstPart(text)), maxLine) }

func (r *Runner) print(text string) { fmt.Fprintln(r.out, r.lineOf(text)) }

// Group starts a foldable part of the log. Groups do not nest.
func (r *Runner) Group(title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.quiet:
		return
	case !r.inActions:
		r.print(title)
		return
	}
	r.commands.Group(r.cleanLine(title))
}

// EndGroup ends the group.
func (r *Runner) EndGroup() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inActions && !r.quiet {
		r.commands.EndGroup()
	}
}

// ansi matches a terminal's control sequence, for example for a color.
var ansi = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// sanitizeLine makes a text one line in which the runner finds no command. The runner (actions/runner ActionCommand.cs,
// OutputManager.cs) executes a line that starts with :: after blanks, or that contains ##[ anywhere. It also ends a line at
// a bare carriage return.
func sanitizeLine(text string) string {
	text = ansi.ReplaceAllString(strings.TrimRight(text, "\r\n"), "")
	text = strings.Map(visibleRune, strings.ToValidUTF8(text, "\ufffd"))
	// Separate the characters by a blank: .NET string comparisons may ignore an invisible character.
	text = strings.ReplaceAll(text, "##[", "# #[")
	if strings.HasPrefix(strings.TrimSpace(text), "::") {
		text = "| " + text
	}
	return text
}

// visibleRune maps every kind of space or line break to a blank, and drops invisible characters: these could hide a command
// from sanitizeLine, but not from the runner.
func visibleRune(r rune) rune {
	switch {
	case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
		return ' '
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return -1
	default:
		return r
	}
}
