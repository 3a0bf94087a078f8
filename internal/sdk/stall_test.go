package sdk

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// silentServer accepts connections and never answers. hangUps has a value for each client that has hung up.
func silentServer(t *testing.T) (address string, hangUps chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	hangUps = make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				for sink := make([]byte, 4096); ; {
					if _, err := conn.Read(sink); err != nil {
						conn.Close()
						hangUps <- struct{}{}
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), hangUps
}

// shim is a PATH with one program of that name in front.
func shim(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

// A server that accepts and never answers ends the set-up in bounded time, by its name. git finds that out by itself; where it
// does not, and for uv, silence ends the program.
func TestServersThatNeverAnswer(t *testing.T) {
	address, hangUps := silentServer(t)
	root := t.TempDir()
	checkout := Checkout{Dir: t.TempDir(), Root: root}
	clone := func(cmds Commands) error {
		_, err := Clone(t.Context(), Source{"http://" + address + "/x.git", "main"}, t.TempDir(), cmds)
		return err
	}
	waits := "#!/bin/bash\n[ \"$1 $2\" != 'python find' ] || { echo No interpreter found >&2; exit PYTHON; }\nexec 3<>/dev/tcp/" + strings.Replace(address, ":", "/", 1) + "\ncat <&3\n"
	index := "UV_DEFAULT_INDEX=http://user:secret@" + address + "/simple"
	cases := []struct {
		name        string
		stall       time.Duration
		environ     []string
		do          func(Commands) error
		cause, hint string
	}{
		{"git", 6 * time.Second, nil, clone, "http://" + address + "/x.git/': Operation too slow", "check the runner's network"},
		{"git that bears it", 300 * time.Millisecond, nil, clone, "git ls-remote printed nothing for 300ms", "the server of sdk-repository"},
		{"uv sync", time.Second, []string{shim(t, "uv", strings.ReplaceAll(waits, "PYTHON", "0")), index}, func(cmds Commands) error {
			_, err := checkout.Environment(t.Context(), cmds, SDKPackage)
			return err
		}, "uv sync printed nothing for 1s", "the package index " + address + " "},
		{"uv python install", time.Second, []string{shim(t, "uv", strings.ReplaceAll(waits, "PYTHON", "1")), "UV_PYTHON_INSTALL_MIRROR=http://" + address}, func(cmds Commands) error {
			_, err := checkout.Environment(t.Context(), cmds, SDKPackage)
			return err
		}, "uv python install printed nothing for 1s", "the server of Python " + address + " (UV_PYTHON_INSTALL_MIRROR)"},
		{"uv build", time.Second, []string{shim(t, "uv", waits)}, func(cmds Commands) error {
			_, err := checkout.Sdist(t.Context(), cmds, t.TempDir())
			return err
		}, "uv build printed nothing for 1s", "the package index pypi.org "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			begin := time.Now()
			err := c.do(Commands{Environ: append(os.Environ(), c.environ...), Log: &log, LogPath: "set-up.log", Stall: c.stall})
			checkSetupError(t, err, log.String(), c.cause, c.hint)
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			if strings.Contains(err.Error()+log.String(), "secret") {
				t.Errorf("it shows credentials: %v\n%s", err, log.String())
			}
			select {
			case <-hangUps:
			case <-time.After(10 * time.Second):
				t.Error("the program goes on")
			}
		})
	}
}

// A program that prints is not ended, however long it takes.
func TestProgramsThatGetOnAreNotEnded(t *testing.T) {
	cmds := Commands{
		Environ: append(os.Environ(), shim(t, "uv", "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8; do echo $i >&2; sleep 0.25; done\n")), Stall: time.Second,
	}
	if _, err := (Checkout{Dir: t.TempDir(), Root: t.TempDir()}).Environment(t.Context(), cmds, SDKPackage); err != nil {
		t.Error(err)
	}
}

// A server may list refs, and a worker may answer, without end.
func TestOutputWithoutEnd(t *testing.T) {
	var log bytes.Buffer
	cmds := Commands{Environ: append(os.Environ(), shim(t, "git", "#!/bin/sh\nexec yes\n")), Log: &log, LogPath: "set-up.log"}
	_, err := Clone(t.Context(), Source{"https://h/x.git", "main"}, t.TempDir(), cmds)
	var failed *SetupError
	if !errors.As(err, &failed) || !strings.Contains(failed.Cause, "git ls-remote printed more than 64 MB") {
		t.Errorf("error is %v", err)
	}
}
