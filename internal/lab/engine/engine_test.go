package engine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMirrored(t *testing.T) {
	cases := []struct{ image, want string }{
		{"python:3.13-bookworm", "hub/library/python:3.13-bookworm"},
		{"docker.io/docker/dockerfile:1.7", "hub/docker/dockerfile:1.7"},
		{"swebench/sweb.eval.x86_64.a_1776_a-1", "hub/swebench/sweb.eval.x86_64.a_1776_a-1:latest"},
		{"ghcr.io/astral-sh/uv:0.13.5", "ghcr/astral-sh/uv:0.13.5"},
		{"quay.io/some/thing:1", ""},
		{"Not a name", ""},
	}
	for _, c := range cases {
		got, err := Mirrored(c.image)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("Mirrored(%q) = %q, %v; want %q", c.image, got, err, c.want)
		}
	}
}

func TestKeyKnowsWhereAnInputEnds(t *testing.T) {
	if Key("ab", "c") == Key("a", "bc") {
		t.Error("different inputs have one key")
	}
	if first, again := Key("a", "b"), Key("a", "b"); first != again {
		t.Error("equal inputs have different keys")
	}
}

func TestFilesKey(t *testing.T) {
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	cases := map[string]struct {
		files fstest.MapFS
		equal bool
	}{
		"the same":       {fstest.MapFS{"a": file("1"), "b/c": file("2")}, true},
		"other content":  {fstest.MapFS{"a": file("1"), "b/c": file("3")}, false},
		"other name":     {fstest.MapFS{"a": file("1"), "b/d": file("2")}, false},
		"one file fewer": {fstest.MapFS{"a": file("1")}, false},
	}
	want, err := FilesKey(fstest.MapFS{"a": file("1"), "b/c": file("2")})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		if got, err := FilesKey(c.files); err != nil || (got == want) != c.equal {
			t.Errorf("%s: key %s, %v; equal to %s must be %t", name, got, err, want, c.equal)
		}
	}
}

func TestCached(t *testing.T) {
	e := &Engine{Cache: t.TempDir()}
	made := 0
	write := func(path string) error { made++; return os.WriteFile(path, []byte("whole"), 0o644) }
	oldKey, newKey := Key("old"), Key("new")

	first, err := e.Cached("root", oldKey, write)
	if err != nil {
		t.Fatal(err)
	}
	other, err := e.Cached("root-other", oldKey, write)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Cached("root", oldKey, write); err != nil || made != 2 {
		t.Errorf("made %d times, %v; want 2: what is there is not made again", made, err)
	}

	broken := errors.New("broken")
	if _, err := e.Cached("root", newKey, func(path string) error {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("a maker's error came back as %v", err)
	}
	second, err := e.Cached("root", newKey, write)
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(second); string(content) != "whole" {
		t.Errorf("the cache holds %q, what a failed run left", content)
	}
	// What the engine makes of a deleted file or folder that a container has.
	if err := errors.Join(os.Remove(second), os.Mkdir(second, 0o755)); err != nil {
		t.Fatal(err)
	}
	if again, err := e.Cached("root", newKey, write); err != nil || again != second {
		t.Errorf("after a deletion the path is %s, %v", again, err)
	}
	if content, err := os.ReadFile(second); string(content) != "whole" {
		t.Errorf("after a deletion the cache holds %q, %v", content, err)
	}
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("what the old key left is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another name's cache was removed: %v", err)
	}
}

func TestInodesTellARemadeFolder(t *testing.T) {
	folder, kept := t.TempDir()+"/cache", t.TempDir()
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	options := []string{"--privileged", "--volume", folder + ":/srv:ro", "--volume", kept + ":/kept", "--volume", "named:/var"}
	before := inodes(options)
	if again := inodes(options); len(before) != 2 || !slices.Equal(before, again) {
		t.Errorf("inodes = %v, then %v; want the same two", before, again)
	}
	// Rename keeps the old folder's inode in use, as a container that has it mounted does.
	if err := os.Rename(folder, folder+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if after := inodes(options); slices.Equal(before, after) {
		t.Errorf("inodes = %v before and after the folder was made again", after)
	}
}

func TestIndentedWritesWholeLines(t *testing.T) {
	var out bytes.Buffer
	log := Indented(&out, "    ")
	for _, chunk := range []string{"on", "e\ntwo\nth", "ree"} {
		if _, err := io.WriteString(log, chunk); err != nil {
			t.Fatal(err)
		}
	}
	if want := "    one\n    two\n"; out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
}

func TestRunSaysWhatWentWrong(t *testing.T) {
	// Stdout and stderr are two pipes, so their order is not defined.
	const script = "echo out; echo cause >&2; exit 3"
	if _, err := Run(exec.Command("sh", "-c", script), nil); err == nil || !strings.Contains(err.Error()+"\n", "\ncause\n") {
		t.Errorf("the error is %v, without the cause", err)
	}
	var log bytes.Buffer
	out, err := Run(exec.Command("sh", "-c", "echo out; echo note >&2"), &log)
	if err != nil || out != "out" || !strings.Contains(log.String(), "note\n") || !strings.Contains(log.String(), "out\n") {
		t.Errorf("Run = %q, %v with log %q", out, err, log.String())
	}
}
