package sdk

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/logfile"
)

//go:embed worker.py
var workerProgram []byte

const (
	// startTimeout limits a worker's start. The import takes 7 to 20 seconds on ordinary machines.
	startTimeout = 5 * time.Minute
	// grace is the time between SIGINT and SIGKILL for a worker's process group; reapTimeout is the time that the kernel
	// and process 1 get to remove killed processes. Close promises less than 4 seconds for both.
	grace, reapTimeout = 2 * time.Second, 1500 * time.Millisecond
	// maxMessage bounds a message of a worker, in bytes. The tags of 50,000 images have 20 MB.
	maxMessage = 64 << 20
)

// worker is one process that has imported the SDK's build module.
type worker struct {
	dir         string // contains tmp (TMPDIR), cache and the socket
	log         logFile
	pid         int // of the process and its process group; 0 before the start
	conn        net.Conn
	incoming    *io.LimitedReader // reads conn
	answers     *json.Decoder     // reads incoming
	description Description
	exited      chan struct{} // closed when the process has ended
	exitState   string        // how it ended; valid once exited is closed
	endOnce     sync.Once
}

// startWorker starts a worker with the new folder dir, and waits for its import. The error is a *WorkerDied, an
// *SDKError, that of ctx, or one of this machine.
func startWorker(ctx context.Context, options PoolOptions, dir string) (*worker, error) {
	w := &worker{dir: dir, log: logFile{path: options.LogPath}, exited: make(chan struct{})}
	if err := w.start(ctx, options); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

func (w *worker) start(ctx context.Context, options PoolOptions) error {
	for _, folder := range []string{w.dir, w.temporary(), w.cache()} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.socket(), Net: "unix"})
	if err != nil {
		return fmt.Errorf("%w (a socket's path may have 107 characters)", err)
	}
	defer listener.Close()
	if err := w.spawn(options); err != nil {
		return err
	}
	if err := w.accept(ctx, listener); err != nil {
		return err
	}
	first, err := w.exchange(ctx, nil)
	if err != nil {
		return err
	}
	if err := first.err(); err != nil {
		return err
	}
	if first.Description == nil {
		return &WorkerDied{How: "it did not describe the SDK"}
	}
	w.description = *first.Description
	w.description.SDKVersion, w.description.Seam = oneLine(w.description.SDKVersion), oneLine(w.description.Seam)
	return nil
}

func (w *worker) temporary() string { return filepath.Join(w.dir, "tmp") }
func (w *worker) cache() string     { return filepath.Join(w.dir, "cache") }
func (w *worker) socket() string    { return filepath.Join(w.dir, "s") }

// spawn starts the process, and a goroutine that waits for its end. If we are killed, the worker sees its socket close
// and ends its process group. (The kernel's parent-death signal is no substitute: it reaches the worker but not
// docker, and the kernel also sends it when the thread that started the worker ends.)
func (w *worker) spawn(options PoolOptions) error {
	output, err := w.log.open()
	if err != nil {
		return err
	}
	defer output.Close()
	program := filepath.Join(options.Dir, "worker.py")
	// -P: Python must not import modules from the working directory, the SDK's root.
	cmd := exec.Command(options.Environment.Python, "-P", program, w.socket(), options.Checkout.Root, options.Checkout.SHA)
	cmd.Dir, cmd.Env = options.Checkout.Root, w.environ(options)
	cmd.Stdout, cmd.Stderr = output, output // A file: with a pipe, Wait waits until every grandchild has closed it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		w.exitState = cmd.ProcessState.String()
		close(w.exited)
	}()
	return nil
}

// environ is all that a worker, and the docker and uv that it starts, see. Everything else stays away: INPUT_* and
// ACTIONS_* hold secrets, GITHUB_OUTPUT and its like are files of the runner that the SDK would write to, DEBUG_LLM
// makes it ask a question, and CI changes what it does.
func (w *worker) environ(options PoolOptions) []string {
	environ := pick(options.Environ, slices.Concat(passedOn, uvPassedOn, dockerPassedOn)...)
	environ = append(withoutSecrets(environ), uvSettings(options.Environment.Version)...)
	return append(environ,
		"PYTHONPATH="+strings.Join(options.Environment.PythonPath, string(os.PathListSeparator)),
		"PYTHONUNBUFFERED=1",
		"TMPDIR="+w.temporary(),
		"DOCKER_DEFAULT_PLATFORM=linux/amd64", // The SDK names no platform when it loads an image.
		"BUILD_CACHE_DIR="+w.cache(),          // Without a registry cache all builds would write one folder at once.
		// The import reads these, in this order, and else runs git. In a workflow GITHUB_SHA is the workflow's.
		"SDK_SHA="+options.Checkout.SHA, "SDK_REF=unknown", "GITHUB_SHA="+options.Checkout.SHA, "GITHUB_REF=unknown",
		"LITELLM_LOCAL_MODEL_COST_MAP=True", // The import fetches a price list from the internet otherwise.
		"OPENHANDS_SUPPRESS_BANNER=1",
		"OPENHANDS_BUILDKIT_CACHE_MODE="+options.CacheMode,
		"BUILDKIT_PROGRESS=plain", // The SDK's telemetry reads no other form.
		// An attestation is one more untagged package version for each image.
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"COLUMNS=200", // The SDK's log folds lines at 80 otherwise.
	)
}

// userInfo matches the user and password of a URL.
var userInfo = regexp.MustCompile(`://[^\s/]*@`)

// withoutSecrets drops what uv would log in with: the SDK's build needs no index that asks for a password.
func withoutSecrets(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasSuffix(name, "PASSWORD") || strings.HasSuffix(name, "TOKEN") {
			continue
		}
		if strings.HasPrefix(name, "UV_") {
			variable = userInfo.ReplaceAllString(variable, "://")
		}
		kept = append(kept, variable)
	}
	return kept
}

// accept waits for the worker's connection.
func (w *worker) accept(ctx context.Context, listener *net.UnixListener) error {
	// A deadline in the past makes Accept return; the zero time would mean no deadline.
	stop := context.AfterFunc(ctx, func() { _ = listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	go func() {
		<-w.exited
		// Our own connection ends Accept. If the worker has connected before, Accept returns that connection first, and
		// we read why the import failed.
		if conn, err := net.Dial("unix", w.socket()); err == nil {
			conn.Close()
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		return w.exchangeError(ctx, err)
	}
	w.conn, w.incoming = conn, &io.LimitedReader{R: conn}
	w.answers = json.NewDecoder(w.incoming)
	return nil
}

// ask sends a request and waits for the answer. If ctx ends before, or the answer does not follow the protocol, ask
// ends the worker and everything it started.
func (w *worker) ask(ctx context.Context, request any) (message, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return message{}, err
	}
	answer, err := w.exchange(ctx, append(line, '\n'))
	if err != nil {
		w.end()
	}
	return answer, err
}

// exchange writes line, if it is not empty, and reads the next message. It returns when ctx ends.
func (w *worker) exchange(ctx context.Context, line []byte) (message, error) {
	_ = w.conn.SetDeadline(time.Time{})
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		_ = w.conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-late // otherwise the deadline could meet the next request
		}
	}()
	var m message
	var err error
	if len(line) > 0 { // An empty write fails too if the worker has ended, and we would not read its last message.
		_, err = w.conn.Write(line)
	}
	if err == nil {
		w.incoming.N = maxMessage
		if err = w.answers.Decode(&m); err != nil && w.incoming.N <= 0 {
			err = fmt.Errorf("its message has more than %d MB", maxMessage>>20)
		}
	}
	if err != nil {
		return message{}, w.exchangeError(ctx, err)
	}
	return m, nil
}

// exchangeError returns why exchange failed with err: the error of ctx, or a *WorkerDied.
func (w *worker) exchangeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	hasEnded := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded)
	if hasEnded {
		select {
		case <-w.exited:
			return &WorkerDied{How: w.exitState}
		case <-time.After(reapTimeout):
			err = errors.New("it closed its socket")
		}
	}
	return &WorkerDied{How: fmt.Sprintf("no answer: %v", err)}
}

// build lets the worker build one image within the request's timeouts, with all output in log. With a folder, the worker
// captures the docker build instead, and copies its context there.
func (w *worker) build(ctx context.Context, request Request, log logFile, folder string) (message, error) {
	if request.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, request.Timeout, ErrTimeout)
		defer cancel()
	}
	op := "build"
	if folder != "" {
		op = "capture"
	}
	before, began := log.size(), time.Now()
	file, err := log.open()
	if err != nil {
		w.end()
		return message{}, err
	}
	defer file.Close()
	ctx, output := logfile.NewOutput(ctx, file, request.StallTimeout)
	pipe, err := w.openPipe(output)
	if err != nil {
		w.end()
		return message{}, err
	}
	answer, err := w.ask(ctx, buildRequest{op, request.image(), request.Sdist, pipe.path, folder})
	pipe.close()
	output.Close()
	if err != nil {
		err = withTail(err, log, before)
		log.note(fmt.Sprintf("ended after %s: %v", time.Since(began).Round(time.Second), err))
	}
	return answer, err
}

// withTail adds the worker's last lines to a WorkerDied: those in log after its earlier size before.
func withTail(err error, log logFile, before int64) error {
	var died *WorkerDied
	if errors.As(err, &died) {
		died.Tail = log.tailSince(before)
	}
	return err
}

// alive reports whether the process has not ended.
func (w *worker) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

// end ends the worker's process group, including a docker command that would still push, and removes its folder with
// the build context. It takes less than 4 seconds. Further calls do nothing.
func (w *worker) end() {
	w.endOnce.Do(func() {
		if w.conn != nil {
			w.conn.Close() // This ends an idle worker at once, and a busy one after SIGINT has ended its build.
		}
		if w.pid != 0 {
			endProcessGroup(w.pid)
		}
		os.RemoveAll(w.dir)
	})
}
