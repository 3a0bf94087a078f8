package sdk

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/logfile"
)

//go:embed pyc.py
var pycProgram string

// answerWithin bounds one comparison. It takes milliseconds; the first one waits for the interpreter's start too.
const answerWithin = time.Minute

// PycComparer compares .pyc files by their code, in one interpreter's process for all pairs. It starts with the first comparison.
// The files must be of the interpreter's own version. It is safe for concurrent use, one comparison at a time.
type PycComparer struct {
	// Path is the interpreter's.
	Path string

	mu      sync.Mutex
	process *interpreter // nil: none runs
}

// interpreter is one running process.
type interpreter struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	says    tail // the end of what it wrote to its standard error; to be read when it has ended
}

// Equal reports whether two .pyc files hold the same code: all of it, names, constants with their types, and line numbers;
// not the source's time, nor how marshal happened to write it. An error says that the interpreter could not tell.
func (p *PycComparer) Equal(ctx context.Context, want, got []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if p.process == nil {
		started, err := start(p.Path)
		if err != nil {
			return false, fmt.Errorf("starting %s to compare .pyc files: %w", p.Path, err)
		}
		p.process = started
	}
	stop := context.AfterFunc(ctx, p.process.kill)
	answer, err := p.process.ask(want, got)
	stop()
	if err != nil {
		err = errors.Join(err, p.process.end())
		p.process = nil
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return false, fmt.Errorf("comparing .pyc files by %s: %w", p.Path, err)
	}
	switch answer {
	case "same":
		return true, nil
	case "other":
		return false, nil
	default:
		return false, fmt.Errorf("comparing .pyc files by %s: %s", p.Path, answer)
	}
}

// Close ends the interpreter, if one runs.
func (p *PycComparer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return nil
	}
	err := p.process.end()
	p.process = nil
	return err
}

// start begins a process of its own group: an interrupt from a terminal is for the run to handle. -I and -S keep out
// what the environment or a site would bring.
func start(path string) (*interpreter, error) {
	i := &interpreter{command: exec.Command(path, "-I", "-S", "-B", "-c", pycProgram)}
	i.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	i.command.Stderr = &i.says
	i.command.WaitDelay = time.Second
	in, err := i.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := i.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	i.in, i.out = in, bufio.NewReader(out)
	return i, i.command.Start()
}

// ask sends one comparison and waits for the answer. The program reads both before it writes.
func (i *interpreter) ask(want, got []byte) (string, error) {
	lengths := binary.BigEndian.AppendUint32(nil, uint32(len(want)))
	lengths = binary.BigEndian.AppendUint32(lengths, uint32(len(got)))
	for _, part := range [][]byte{lengths, want, got} {
		if _, err := i.in.Write(part); err != nil {
			return "", err
		}
	}
	line, err := i.out.ReadSlice('\n') // an answer that is longer than the reader's buffer is an error
	return strings.TrimSpace(string(line)), err
}

func (i *interpreter) kill() { _ = syscall.Kill(-i.command.Process.Pid, syscall.SIGKILL) }

// end closes the program's input, which ends it, and waits. One that does not end by that is killed.
func (i *interpreter) end() error {
	_ = i.in.Close()
	defer time.AfterFunc(time.Second, i.kill).Stop()
	err := i.command.Wait()
	if said := logfile.LastLine(i.says.String()); err != nil && said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}
