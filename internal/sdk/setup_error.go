package sdk

import (
	"errors"
	"regexp"
	"strings"
)

// SetupError is something that has to work once per run, before any image, and did not.
type SetupError struct {
	// Doing is what failed, "cloning https://github.com/OpenHands/software-agent-sdk.git".
	Doing string
	// Cause is one line of why, as the failed program says it.
	Cause string
	// LogPath is where its whole output is; empty where there is none.
	LogPath string
	// Err is the error beneath, if there is one.
	Err  error
	hint string
}

func (e *SetupError) Error() string { return e.Doing + ": " + e.Cause }

// Unwrap gives the error beneath.
func (e *SetupError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *SetupError) Hint() string { return e.hint }

var (
	// git and uv both begin the line that matters so.
	errorLine = regexp.MustCompile(`(?mi)^\s*(?:(?:fatal|error):|×)\s*(.+)$`)
	// uv then goes deeper, in one of three styles.
	deeperLine = regexp.MustCompile(`(?m)^\s*(?:cause:|Caused by:|╰─▶)\s*(.+)$`)
)

// causeIn finds the one line in a program's output that says why it failed, joined with the deepest cause it names.
func causeIn(output string) string {
	at := errorLine.FindAllStringSubmatchIndex(output, -1)
	if len(at) == 0 {
		return lastLine(output)
	}
	last := at[len(at)-1]
	cause := output[last[2]:last[3]]
	if deeper := deeperLine.FindAllStringSubmatch(output[last[1]:], -1); len(deeper) > 0 {
		cause += ": " + deeper[len(deeper)-1][1]
	}
	return strings.TrimSpace(cause)
}

// output is what a subprocess said before it failed, if err is of a subprocess.
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
