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

// TestRemoveStale has the pid file of a killed daemon, whose pid another process has now, and that of a running daemon.
func TestRemoveStale(t *testing.T) {
	run := t.TempDir()
	daemon := startNamed(t, "containerd")
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

// startNamed runs a program under another name, which /proc/PID/comm shows.
func startNamed(t *testing.T, name string) int {
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

func TestHasAll(t *testing.T) {
	cases := []struct {
		name, status, last string
		want               bool
	}{
		{"all 41", "CapBnd:\t000001ffffffffff\n", "40\n", true},
		{"without CAP_SYS_RESOURCE", "CapPrm:\t1\nCapBnd:\t000001fffeffffff\n", "40\n", false},
		{"an older kernel has fewer", "CapBnd:\t0000003fffffffff\n", "37\n", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := hasAll(c.status, c.last)
			if err != nil || got != c.want {
				t.Errorf("hasAll = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestMirrorIn(t *testing.T) {
	cases := []struct{ name, sources, want string }{
		{"stanzas", "Types: deb\n# note\nURIs: http://security.test/s\nSuites: bookworm-security\nComponents: main\n\n" +
			"Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n", "http://mirror.test/debian"},
		{"lines", "# deb http://old.test bookworm main\ndeb-src http://src.test bookworm main\n" +
			"deb [signed-by=/k trusted=yes] http://mirror.test/debian bookworm main\n", "http://mirror.test/debian"},
		{"another vendor", "deb https://tools.test/apt tools-bookworm main\n", ""},
		{"nothing", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mirrorIn(c.sources, "bookworm"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
