package sdk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Commands is how this package runs git and uv.
type Commands struct {
	// Environ is where subprocesses get their environment from, as "NAME=value"; only what they need is passed on.
	// PATH in it says which git and uv.
	Environ []string
	// Log receives all output of the subprocesses. Nil discards it.
	Log io.Writer
	// LogPath is what errors call that log: "builds/setup.log".
	LogPath string
	// Stall is how long a subprocess may print nothing before it is ended; 0 is defaultStall.
	Stall time.Duration

	// other names the inputs of what is no SDK.
	other other
}

// defaultStall is longer than git or uv print nothing while they make progress. git --quiet prints nothing at all, but it clones the
// whole SDK in less time.
const defaultStall = 10 * time.Minute

func (c Commands) stall() time.Duration { return cmp.Or(c.Stall, defaultStall) }

// stalled is the error of a subprocess that was ended because it printed nothing.
type stalled struct {
	program string
	after   time.Duration
}

func (e *stalled) Error() string {
	return fmt.Sprintf("%s printed nothing for %s, so it was ended", e.program, e.after)
}

// passedOn are the variables that every subprocess may see: where programs, folders, proxies and certificates are.
// The runner's own (INPUT_*, ACTIONS_*, GITHUB_*) carry secrets, or change what the SDK does, and are not here.
var passedOn = []string{
	"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
}

// uvPassedOn are the variables of uv's that change from where and how packages are fetched, never what is built. Others
// do: with UV_PROJECT or UV_WORKING_DIR, uv works on another checkout than ours, and its images would carry the tags of
// ours; UV_NO_SOURCES or UV_NO_INSTALL_WORKSPACE leave out the SDK's own packages
// (https://docs.astral.sh/uv/reference/environment/). What is in no list here stays away, so new ones do too.
var uvPassedOn = []string{
	"UV_CACHE_DIR", "UV_NO_CACHE", "UV_LINK_MODE",
	"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_KEYRING_PROVIDER",
	"UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_CONCURRENT_", "UV_HTTP_",
	"UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_INSTALL_DIR",
}

// dockerPassedOn are the variables of docker commands: the engine, the configuration, and what credential helpers find their
// stores by.
var dockerPassedOn = []string{
	"DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION",
	"BUILDX_BUILDER", "BUILDX_CONFIG", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "PASSWORD_STORE_DIR",
}

// DockerEnviron returns those variables of environ that a docker command may see.
func DockerEnviron(environ []string) []string {
	return pick(environ, slices.Concat(passedOn, dockerPassedOn)...)
}

// pick takes from environ what names allow; a name that ends in "_" allows all that begin with it.
func pick(environ []string, names ...string) []string {
	var picked []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		allowed := func(n string) bool { return n == name || strings.HasSuffix(n, "_") && strings.HasPrefix(name, n) }
		if slices.ContainsFunc(names, allowed) {
			picked = append(picked, variable)
		}
	}
	return picked
}

// value is the last value of a variable in environ, as a process would see it.
func value(environ []string, name string) string {
	for _, variable := range slices.Backward(environ) {
		if v, found := strings.CutPrefix(variable, name+"="); found {
			return v
		}
	}
	return ""
}

// find looks a program up in environ's PATH: exec's own search uses the PATH of this process.
func find(environ []string, program string) (string, error) {
	if filepath.IsAbs(program) {
		return program, nil
	}
	for _, folder := range filepath.SplitList(value(environ, "PATH")) {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", &exec.Error{Name: program, Err: exec.ErrNotFound}
}

// commandError is a subprocess that ended badly.
type commandError struct {
	err error
	// tail holds the last of its output.
	tail string
}

func (e *commandError) Error() string {
	if silence := (*stalled)(nil); errors.As(e.err, &silence) { // what it said last is not why
		return silence.Error()
	}
	if cause := causeIn(e.tail); cause != "" {
		return cause
	}
	return e.err.Error()
}

func (e *commandError) Unwrap() error { return e.err }

// endWithin is how long a subprocess has after SIGTERM when ctx ends.
const endWithin = 2 * time.Second

// maxOutput bounds the standard output of a subprocess, in bytes. A git server may list any number of refs.
const maxOutput = 64 << 20

// outputBuffer keeps standard output. A Write beyond maxOutput fails, which closes the pipe and so ends the program.
type outputBuffer struct {
	bytes.Buffer
	full bool
}

func (b *outputBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.full = true
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

// watched is a Writer that puts off a timer with each Write.
type watched struct {
	io.Writer
	timer *time.Timer
	stall time.Duration
}

func (w watched) Write(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	return w.Writer.Write(p)
}

// run runs a program in dir and gives its standard output; what it says on standard error goes to the log. The error is
// a *commandError, ctx's, or that there is no such program. A program that prints nothing for c.Stall is ended.
func (c Commands) run(ctx context.Context, dir string, environ []string, argv ...string) (string, error) {
	path, err := find(environ, argv[0])
	if err != nil {
		return "", err
	}
	log := c.Log
	if log == nil {
		log = io.Discard
	}
	fmt.Fprintf(log, "$ %s\n", strings.Join(argv, " "))
	stdout, last := &outputBuffer{}, &tail{}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := &stalled{commandName(argv), c.stall()}
	timer := time.AfterFunc(c.stall(), func() { cancel(silence) })
	defer timer.Stop()
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = dir, environ
	cmd.Stdout = watched{stdout, timer, c.stall()}
	cmd.Stderr = watched{io.MultiWriter(log, last), timer, c.stall()}
	// A group of its own, so that what git and uv start ends with them, and the terminal's ^C reaches only us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = endWithin
	err = cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		if context.Cause(ctx) == error(silence) {
			return "", &commandError{err: silence, tail: last.String()}
		}
		return "", contextError(ctx)
	}
	if stdout.full {
		return "", fmt.Errorf("%s printed more than %d MB", commandName(argv), maxOutput>>20)
	}
	if err != nil {
		return "", &commandError{err: err, tail: last.String()}
	}
	return stdout.String(), nil
}

// contextError returns the error of a context that has ended. A deadline's error is its cause alone. A cancellation's
// wraps context.Canceled and the cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err || !errors.Is(err, context.Canceled) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// failed makes a SetupError of what a subprocess, or we, could not do.
func (c Commands) failed(doing string, err error) *SetupError {
	hint, line := remedy(err)
	if silence := (*stalled)(nil); errors.As(err, &silence) {
		hint, line = c.stallHint(silence.program), ""
	}
	hint = c.other.hint(hint)
	cause := oneLine(err.Error())
	if line != "" && !strings.Contains(cause, line) {
		// What the program said last was not the point: "invalid index-pack output", after a full disk.
		cause = strings.TrimSuffix(cause, ".") + ": " + oneLine(line)
	}
	if c.Log != nil {
		fmt.Fprintf(c.Log, "%s: %s\n", doing, cause)
	}
	if _, spoke := output(err); c.LogPath != "" && (spoke || c.Log != nil) {
		hint = strings.TrimPrefix(hint+"; the whole output is in "+c.LogPath, "; ")
	}
	return &SetupError{Doing: doing, Cause: cause, LogPath: c.LogPath, Err: err, hint: hint}
}

// stallHint names the servers that a program waits for.
func (c Commands) stallHint(program string) string {
	if !strings.HasPrefix(program, "uv") {
		return "check that the server of sdk-repository answers, and the runner's network and proxy"
	}
	what, variables, host := "the package index", []string{"UV_DEFAULT_INDEX", "UV_INDEX_URL"}, "pypi.org"
	if strings.HasPrefix(program, "uv python") {
		what, variables, host = "the server of Python", []string{"UV_PYTHON_INSTALL_MIRROR"}, "github.com"
	}
	for _, name := range variables {
		_, address, named := strings.Cut(value(c.Environ, name), "=") // of name=address
		if !named {
			address = value(c.Environ, name)
		}
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			host = u.Host // without the credentials that may be before it
			break
		}
	}
	return fmt.Sprintf("check that %s %s (%s) answers, and the runner's network and proxy", what, host, variables[0])
}

// maxCause limits a cause, in bytes. Servers and programs decide what is in it.
const maxCause = 800

// oneLine is text without line breaks and control characters, at most maxCause bytes.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if len(text) > maxCause {
		text = strings.ToValidUTF8(text[:maxCause], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// tail is a Writer that keeps the last tailSize bytes.
type tail struct{ kept []byte }

const tailSize = 4000

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(string(t.kept), "") }
