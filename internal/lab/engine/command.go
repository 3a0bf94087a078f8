package engine

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// Run returns the trimmed standard output of a command. All output goes to log; without a log the error has the last
// lines.
func Run(cmd *exec.Cmd, log io.Writer) (string, error) {
	var out, all bytes.Buffer
	if log == nil {
		log = &all
	}
	both := &shared{to: log}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, both), both
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w%s", strings.Join(cmd.Args, " "), err, tail(all.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func tail(output string) string {
	const lines = 20
	output = strings.TrimSpace(output)
	if output == "" {
		return ""
	}
	all := strings.Split(output, "\n")
	return "\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}

// shared is a writer for a command's two streams.
type shared struct {
	mu sync.Mutex
	to io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(p)
}

// Indented puts a prefix in front of each line. It may be used by several goroutines.
func Indented(to io.Writer, prefix string) io.Writer { return &indented{to: to, prefix: prefix} }

type indented struct {
	mu     sync.Mutex
	to     io.Writer
	prefix string
	rest   []byte
}

func (w *indented) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := append([]byte(w.prefix), w.rest[:end+1]...)
		w.rest = w.rest[end+1:]
		if _, err := w.to.Write(line); err != nil {
			return 0, err
		}
	}
}
