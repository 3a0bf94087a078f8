package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestDebian(t *testing.T) {
	cases := map[string]bool{
		"NAME=x\nID=debian\n":           true,
		"ID=ubuntu\nID_LIKE=debian\n":   true,
		"ID=fedora\n":                   false,
		"VERSION_ID=debian\n":           false,
		"":                              false,
		"ID=debian-like\nID_LIKE=arch ": false,
	}
	for release, want := range cases {
		if got := debian(release); got != want {
			t.Errorf("debian(%q) = %t, want %t", release, got, want)
		}
	}
}

func TestMayInstallOnlyBehindTheDefaultSocket(t *testing.T) {
	if err := mayInstall("tcp://10.0.0.1:2375"); err == nil {
		t.Error("an engine elsewhere would be replaced by one here")
	}
}

// TestRemoveStale has a pid file of a killed daemon whose pid belongs to another process now, and one of a daemon that
// still runs.
func TestRemoveStale(t *testing.T) {
	run := t.TempDir()
	daemon := named(t, "containerd")
	files := map[string]int{"docker.pid": os.Getpid(), "docker/containerd/containerd.pid": daemon}
	for path, pid := range files {
		path = filepath.Join(run, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Appendln(nil, pid), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeStale(run); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"docker.pid": false, "docker/containerd/containerd.pid": true} {
		_, err := os.Stat(filepath.Join(run, path))
		if there := err == nil; there != want {
			t.Errorf("%s is there: %t, want %t", path, there, want)
		}
	}
	if err := removeStale(t.TempDir()); err != nil {
		t.Errorf("a machine without stale files: %v", err)
	}
}

// named runs a program under another name, as /proc/PID/comm gives it.
func named(t *testing.T, name string) int {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(sleep, program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	return cmd.Process.Pid
}
