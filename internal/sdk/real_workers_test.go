package sdk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A killed worker takes its docker with it, which would push on, and leaves nothing of its build.
func (s realSDK) testLostWorker(t *testing.T) {
	s.forgetBuilds(t)
	lost := make(chan error, 1)
	go func() {
		_, err := s.Build(t.Context(), s.request("base/hangs", "lost"))
		lost <- err
	}()
	fixture{t: t}.waitFor(func() bool { return len(s.dockerBuilds(t)) == 1 && strings.Contains(commandLines(), "sleep\x003600") })
	context, _ := filepath.Glob(filepath.Join(s.options.Dir, "*", "tmp", "*"))
	if len(context) != 1 {
		t.Fatalf("build contexts: %v, want one", context)
	}
	number, err := filepath.Rel(s.options.Dir, filepath.Dir(filepath.Dir(context[0])))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.workerPID(t, number), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var died *WorkerDied
	if err := <-lost; !errors.As(err, &died) || died.How != "signal: killed" {
		t.Errorf("err = %v, want the worker's death", err)
	}
	if running := commandLines(); strings.Contains(running, "sleep\x003600") || strings.Contains(running, filepath.Join(s.dir, "docker")) {
		t.Errorf("docker lives on:\n%q", running)
	}
	if left, _ := filepath.Glob(filepath.Join(s.options.Dir, "*", "tmp", "*")); len(left) != 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// workerPID finds the parent of the docker whose context lies in the worker's folder.
func (s realSDK) workerPID(t *testing.T, number string) int {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if !strings.Contains(string(command), filepath.Join(s.options.Dir, number, "tmp")+"/") {
			continue
		}
		text := readFile(t, path)
		var state string
		var parent int
		if _, err := fmt.Sscan(text[strings.LastIndexByte(text, ')')+1:], &state, &parent); err == nil {
			return parent
		}
	}
	t.Fatal("no docker is building there")
	return 0
}

// commandLines are those of all processes that live.
func commandLines() string {
	var all strings.Builder
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		all.Write(text)
		all.WriteByte('\n')
	}
	return all.String()
}
