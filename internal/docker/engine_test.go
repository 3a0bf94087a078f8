package docker

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConnectWithoutSocket(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	_, err := Connect(t.Context(), variables("DOCKER_HOST", socket))
	var unavailable *Unavailable
	if !errors.As(err, &unavailable) {
		t.Fatalf("Connect = %v, want an Unavailable", err)
	}
	if !strings.Contains(err.Error(), socket) || !strings.Contains(unavailable.Hint(), "builder") {
		t.Errorf("error %q, hint %q: want the socket and a way out", err, unavailable.Hint())
	}
}

func TestCreateArgs(t *testing.T) {
	cases := []struct {
		name     string
		builder  Builder
		endpoint []string
		want     []string
	}{
		{
			"adopting names no endpoint, so buildx takes the container that runs",
			Builder{Name: "b", Driver: "docker-container"},
			nil,
			[]string{"buildx", "create", "--name", "b", "--driver", "docker-container"},
		},
		{
			"an address is the remote driver's endpoint",
			Builder{Name: RemoteName, Driver: "remote"},
			[]string{"tcp://h:1"},
			[]string{"buildx", "create", "--name", "eval-images-remote", "--driver", "remote", "tcp://h:1"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, createArgs(c.builder, c.endpoint...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestField(t *testing.T) {
	said := "Name:   b\nDriver: remote\n\nNodes:\nName:     b0\nError:    dial unix x: no such file\nBuildKit version: v0.34.2\n"
	cases := map[string]string{"Error:": "dial unix x: no such file", "BuildKit version:": "v0.34.2", "Nothing:": ""}
	for label, want := range cases {
		if got := field(said, label); got != want {
			t.Errorf("field(%q) = %q, want %q", label, got, want)
		}
	}
}

func TestIsAddress(t *testing.T) {
	cases := map[string]bool{"unix:///run/b.sock": true, "tcp://127.0.0.1:1234": true, "builder-1": false, "unix": false}
	for builder, want := range cases {
		if got := IsAddress(builder); got != want {
			t.Errorf("IsAddress(%q) = %v, want %v", builder, got, want)
		}
	}
}

// A failing docker command must be told by what it said, not by "exit status 1" alone.
func TestRunSaysWhatDockerSaid(t *testing.T) {
	bin := t.TempDir()
	fakeDocker(t, bin, "echo first >&2; echo 'ERROR: no builder' >&2; exit 1")
	t.Setenv("PATH", bin)
	_, err := Buildx{Log: io.Discard}.run(t.Context(), []string{"buildx", "inspect", "x"})
	if err == nil || !strings.Contains(err.Error(), "docker buildx inspect x") || !strings.Contains(err.Error(), "ERROR: no builder") {
		t.Errorf("run = %v; want the command and its last line", err)
	}
}

// docker starts its plugin as a process of its own, which must not outlive a run that is cancelled.
func TestCancelEndsWhatDockerStarted(t *testing.T) {
	bin := t.TempDir()
	fifo := filepath.Join(bin, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fakeDocker(t, bin, "sh -c 'echo up; exec sleep 60' >"+fifo+" 2>/dev/null; exit 1")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Buildx{Environ: os.Environ(), Log: io.Discard}.UseAddress(ctx, "tcp://127.0.0.1:1")
		ended <- err
	}()
	plugin, err := os.Open(fifo) // opens when the plugin has, and ends when the plugin does
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	if _, err := plugin.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("UseAddress = %v", err)
	}
	if err := plugin.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.Read(make([]byte, 8)); !errors.Is(err, io.EOF) {
		t.Errorf("the plugin lives on: %v", err)
	}
}

// fakeDocker writes a stand-in for the docker command that runs the given shell lines.
func fakeDocker(t *testing.T, dir, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}
