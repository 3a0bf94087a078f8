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

// remedies say what helps, by what the failed program said. The first that matches is taken, so the special ones come
// before the general ones.
var remedies = []struct {
	said *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`"?git"?: executable file not found`), "install git, or put it on PATH"},
	{regexp.MustCompile(`"?uv"?: executable file not found`), "install uv 0.13.5 or later, or put it on PATH"},
	{regexp.MustCompile(`must be an https`), "write sdk-repository like https://github.com/OpenHands/software-agent-sdk.git; ssh would need a key"},
	{regexp.MustCompile(`must not hold credentials`), "use a public repository: what stands in a URL ends up in logs"},
	{regexp.MustCompile(`is no software-agent-sdk`), "check sdk-repository and sdk-ref"},
	{regexp.MustCompile(`No space left on device|os error 28`), "free disk space on the runner"},
	{regexp.MustCompile(`could not read Username|Authentication failed|terminal prompts disabled|HTTP Basic|error: 40[13]`),
		"sdk-repository wants credentials, which this action does not take: use a public repository, or check it for a typo"},
	{regexp.MustCompile(`No interpreter found|No Python`),
		"install Python " + pythonVersion + ", the SDK's own version; it is not downloaded"},
	{regexp.MustCompile(`unsupported schema version|Required uv version|exclude-newer`),
		"this uv is too old for the SDK's uv.lock or pyproject.toml: install a newer one"},
	{regexp.MustCompile(`Could not resolve host|dns error|failed to lookup address|Connection refused|Failed to connect|timed out|error sending request|Connection reset|unreachable`),
		"check the runner's network and proxy, and for the package index UV_DEFAULT_INDEX"},
	{regexp.MustCompile(`(?i)certificate`), "check SSL_CERT_FILE: the server's certificate is not trusted"},
	{regexp.MustCompile(`(?i)repository .*not found|does not appear to be a git repository|does not exist`), "check sdk-repository"},
	{regexp.MustCompile(`died \(signal: killed`), "the machine may be short of memory, each worker takes 260 MB: lower max-workers"},
	{regexp.MustCompile(`ModuleNotFoundError|ImportError|SyntaxError`),
		"this SDK does not import in its own locked environment: try another sdk-ref (1.1.0 is the oldest that works)"},
}

// hintFor says what helps against err, or nothing where nothing is known to. It looks at everything that a failed
// program said, not only at its last word.
func hintFor(err error) string {
	said, _ := output(err)
	said += "\n" + err.Error()
	for _, r := range remedies {
		if r.said.MatchString(said) {
			return r.hint
		}
	}
	return ""
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
