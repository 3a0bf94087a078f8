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

// endProcessGroup interrupts a process group, so that docker and uv can clean up, and kills what is left after grace.
func endProcessGroup(group int) {
	_ = syscall.Kill(-group, syscall.SIGINT)
	if !waitForProcessGroup(group, grace) {
		_ = syscall.Kill(-group, syscall.SIGKILL)
		waitForProcessGroup(group, reapTimeout)
	}
}

// waitForProcessGroup waits up to d for a process group to end, and reports whether it has.
func waitForProcessGroup(group int, d time.Duration) bool {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if !processGroupAlive(group) {
			return true
		}
	}
	return false
}

// processGroupAlive reports whether a process group has a member that is not a zombie. kill(2) counts zombies too: a
// killed grandchild is one until process 1 waits for it, which may take long.
func processGroupAlive(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // The process has ended.
		}
		// "pid (name) state ppid pgrp ..."; a name may contain blanks and parentheses (proc_pid_stat(5)).
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return false
}
