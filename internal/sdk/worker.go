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
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed worker.py
var workerProgram []byte

const (
	// startWithin bounds a worker's start. The import takes 7 to 20 seconds on ordinary machines.
	startWithin = 5 * time.Minute
	// grace is what a worker's group has between SIGINT and SIGKILL, and reapWithin what the kernel and process 1
	// have to make the killed disappear. Together they stay below 4 seconds.
	grace, reapWithin = 2 * time.Second, 1500 * time.Millisecond
)

// worker is one process that has imported the SDK's build module.
type worker struct {
	dir     string // its own; holds tmp (TMPDIR), cache and the socket
	log     logFile
	pid     int // also of its process group; 0 before there is a process
	conn    net.Conn
	answers *json.Decoder
	// description is of the SDK that it has imported.
	description Description
	exited      chan struct{} // closed when the process was waited for
	how         string        // how it ended; to be read after exited
	endOnce     sync.Once
}

// startWorker starts a worker, whose own folder dir becomes, and waits for its import. Errors are of our own machine, a
// *WorkerDied, an *SDKError, or ctx's.
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
	if err == nil {
		err = first.err()
	}
	if err == nil && first.Description == nil {
		err = &WorkerDied{How: "it did not describe the SDK"}
	}
	if err != nil {
		return err
	}
	w.description = *first.Description
	return nil
}

func (w *worker) temporary() string { return filepath.Join(w.dir, "tmp") }
func (w *worker) cache() string     { return filepath.Join(w.dir, "cache") }
func (w *worker) socket() string    { return filepath.Join(w.dir, "s") }

// spawn starts the process and waits for it, for as long as it lives, in a goroutine. Should we be killed, the worker
// sees its socket close and ends its group. (The kernel's parent-death signal would reach the worker alone, and before
// it could end docker; and it is sent already when the thread ends that started the worker.)
func (w *worker) spawn(options PoolOptions) error {
	output, err := w.log.open()
	if err != nil {
		return err
	}
	defer output.Close()
	program := filepath.Join(options.Dir, "worker.py")
	// -P: the SDK's root is the working directory, and what lies there must not shadow a module.
	cmd := exec.Command(options.Environment.Python, "-P", program, w.socket(), options.Checkout.Root, options.Checkout.SHA)
	cmd.Dir, cmd.Env = options.Checkout.Root, w.environ(options)
	cmd.Stdout, cmd.Stderr = output, output // A file, so that no grandchild that holds it can keep Wait from ending.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		w.how = cmd.ProcessState.String()
		close(w.exited)
	}()
	return nil
}

// environ is all that a worker, and the docker and uv that it starts, see. Everything else stays away: INPUT_* and
// ACTIONS_* hold secrets, GITHUB_OUTPUT and its like are files of the runner that the SDK would write to, DEBUG_LLM
// makes it ask a question, and CI changes what it does.
func (w *worker) environ(options PoolOptions) []string {
	environ := pick(options.Environ, append(passedOn, "UV_", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT",
		"DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION", "BUILDX_BUILDER", "BUILDX_CONFIG")...)
	environ = append(withoutSecrets(environ), uvSettings...)
	return append(environ,
		"PYTHONPATH="+strings.Join(options.Environment.PythonPath, string(os.PathListSeparator)),
		"PYTHONUNBUFFERED=1",
		"TMPDIR="+w.temporary(),
		"BUILD_CACHE_DIR="+w.cache(), // Without a registry cache all builds would write one folder at once.
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

// withoutSecrets drops what uv would log in with: the SDK's build needs no index that asks for a password.
func withoutSecrets(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasSuffix(name, "PASSWORD") && !strings.HasSuffix(name, "TOKEN") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// accept takes the one connection that the worker makes.
func (w *worker) accept(ctx context.Context, listener *net.UnixListener) error {
	// A deadline in the past makes Accept give up; the zero time would mean none.
	stop := context.AfterFunc(ctx, func() { _ = listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	go func() {
		<-w.exited
		// A connection of ours ends the wait. One that the worker made before comes first, with what it said: why the
		// import failed.
		if conn, err := net.Dial("unix", w.socket()); err == nil {
			conn.Close()
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		return w.brokenOff(ctx, err)
	}
	w.conn, w.answers = conn, json.NewDecoder(conn)
	return nil
}

// ask sends a request and waits for the answer. When ctx ends before, or the worker does not answer in the protocol,
// the worker is ended, with everything that it started.
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

// exchange writes what there is to say and reads the next message, until ctx ends.
func (w *worker) exchange(ctx context.Context, line []byte) (message, error) {
	_ = w.conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var m message
	var err error
	if len(line) > 0 { // Writing nothing fails too when the worker has ended, and its last words would be lost.
		_, err = w.conn.Write(line)
	}
	if err == nil {
		err = w.answers.Decode(&m)
	}
	if err != nil {
		return message{}, w.brokenOff(ctx, err)
	}
	return m, nil
}

// brokenOff says why a conversation ended with err: by ctx, by the worker's end, or by something that is no answer.
func (w *worker) brokenOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	hasEnded := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded)
	if hasEnded {
		select {
		case <-w.exited:
			return &WorkerDied{How: w.how}
		case <-time.After(reapWithin):
			err = errors.New("it closed its socket")
		}
	}
	return &WorkerDied{How: fmt.Sprintf("no answer: %v", err)}
}

// build has the worker build one image within the request's time, with all output in log.
// With a folder it builds nothing, and captures there what it would.
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
	answer, err := w.ask(ctx, buildRequest{op, request.image(), request.Sdist, log.path, folder})
	if err != nil {
		err = withTail(err, log, before)
		log.note(fmt.Sprintf("ended after %s: %v", time.Since(began).Round(time.Second), err))
	}
	return answer, err
}

// withTail completes a WorkerDied with what it left in its log, from before on.
func withTail(err error, log logFile, before int64) error {
	var died *WorkerDied
	if errors.As(err, &died) {
		died.Tail = log.tailFrom(before)
	}
	return err
}

// alive says that the worker can take a request.
func (w *worker) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

// end ends the worker with its whole process group, so also a docker that would push on, and removes its folder with
// the build context in it. It takes less than 4 seconds, and nothing when done before.
func (w *worker) end() {
	w.endOnce.Do(func() {
		if w.conn != nil {
			w.conn.Close() // An idle worker ends by this; a busy one as soon as its build was interrupted.
		}
		if w.pid != 0 {
			endGroup(w.pid)
		}
		os.RemoveAll(w.dir)
	})
}
