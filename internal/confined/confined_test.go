package confined

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadStaysInTheFolderAndBelowTheLimit(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := errors.Join(
		os.WriteFile(at("ten"), []byte("0123456789"), 0o600), os.WriteFile(at("eleven"), []byte("0123456789a"), 0o600), os.Mkdir(at("folder"), 0o755),
		syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("ten", at("link")), os.Symlink("/dev/zero", at("endless")), os.Symlink("../x", at("out")),
		os.Symlink("loop", at("loop")),
	); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{ // the content, or why there is none
		"ten": "0123456789", "link": "0123456789", "folder/../ten": "0123456789",
		"eleven": "eleven has more than 10 bytes", "folder": "folder is no regular file", "pipe": "pipe is no regular file", "socket": "socket is no regular file",
		"endless": "endless leads out of its folder", "out": "out leads out of its folder", "../x": "../x leads out of its folder", "/dev/zero": "/dev/zero leads out of its folder",
	}
	for name, want := range cases {
		text, err := Read(folder, name, 10)
		got := string(text)
		var refused *Refused
		if errors.As(err, &refused) {
			got = refused.Error()
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"absent", "loop"} {
		var path *fs.PathError
		if _, err := Read(folder, name, 10); !errors.As(err, &path) || path.Path != name {
			t.Errorf("%s: %v, want a PathError", name, err)
		}
	}
}
