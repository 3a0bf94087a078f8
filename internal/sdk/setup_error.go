package sdk

import (
	"errors"
	"regexp"
	"strings"

	"github.com/OpenHands/eval-images/internal/logfile"
)

// SetupError reports that a step before the first image has failed.
type SetupError struct {
	// Doing is the step that failed: "cloning https://github.com/OpenHands/software-agent-sdk.git".
	Doing string
	// Cause is the failed program's own reason, in one line.
	Cause string
	// LogPath is the file with all of the program's output, if there is one.
	LogPath string
	// Err is the wrapped error, or nil.
	Err  error
	hint string
}

func (e *SetupError) Error() string { return e.Doing + ": " + e.Cause }

// Unwrap returns the wrapped error.
func (e *SetupError) Unwrap() error { return e.Err }

// Hint suggests what to do about it.
func (e *SetupError) Hint() string { return e.hint }

var (
	// errorLine is how git and uv begin the line that matters.
	errorLine = regexp.MustCompile(`(?mi)^\s*(?:(?:fatal|error):|×)\s*(.+)$`)
	// deeperLine is how uv begins the causes after it, in one of three styles.
	deeperLine = regexp.MustCompile(`(?m)^\s*(?:cause:|Caused by:|╰─▶)\s*(.+)$`)
)

// causeIn returns the line in a program's output that says why it failed, joined with its deepest cause.
func causeIn(output string) string {
	at := errorLine.FindAllStringSubmatchIndex(output, -1)
	if len(at) == 0 {
		return logfile.LastLine(output)
	}
	last := at[len(at)-1]
	cause := output[last[2]:last[3]]
	if deeper := deeperLine.FindAllStringSubmatch(output[last[1]:], -1); len(deeper) > 0 {
		cause += ": " + deeper[len(deeper)-1][1]
		if address := addressIn(deeper); address != "" && !strings.Contains(cause, "://") {
			cause += " (" + address + ")"
		}
	}
	return strings.TrimSpace(cause)
}

// webAddress matches an address in a message. The first group is what may be credentials.
var webAddress = regexp.MustCompile("https?://([^\\s/@]*@)?[^\\s()'\"`]+")

// addressIn returns the first address in uv's causes, without credentials: the deepest cause does not say which server it is about.
func addressIn(causes [][]string) string {
	for _, cause := range causes {
		if found := webAddress.FindStringSubmatch(cause[1]); found != nil {
			return strings.Replace(found[0], found[1], "", 1)
		}
	}
	return ""
}

// output returns what a failed subprocess has printed, if err comes from a subprocess.
func output(err error) (said string, isProcess bool) {
	var command *commandError
	var raised *SDKError
	var died *WorkerDied
	switch {
	case errors.As(err, &command):
		return command.tail, true
	case errors.As(err, &raised):
		return raised.Traceback, true
	case errors.As(err, &died):
		return died.Tail, true
	default:
		return "", false
	}
}
