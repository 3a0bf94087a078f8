package sdk

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endGroup interrupts a process group, so that docker and uv end in good order, and kills what does not end by that.
func endGroup(group int) {
	_ = syscall.Kill(-group, syscall.SIGINT)
	if !endsWithin(group, grace) {
		_ = syscall.Kill(-group, syscall.SIGKILL)
		endsWithin(group, reapWithin)
	}
}

// endsWithin waits until a process group has no living member, at most for d.
func endsWithin(group int, d time.Duration) bool {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if !lives(group) {
			return true
		}
	}
	return false
}

// lives says that a process group has a member that is not a zombie. The kernel alone cannot tell: a killed grandchild
// stays a member until process 1 waits for it, and not every process 1 hurries.
func lives(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended since.
		}
		// "pid (name) state ppid pgrp ...", and a name may hold blanks and parentheses (proc_pid_stat(5)).
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return false
}
