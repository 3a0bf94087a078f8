package sdk

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// compiler writes the .pyc file of argv[1], a source, to argv[2]: with the header's flags argv[3] and time argv[4], in
// marshal's format argv[5]. Format 2 knows no references, 4 does: the same code, in other bytes.
const compiler = `
import importlib.util, marshal, struct, sys
code = compile(sys.argv[1], "main.py", "exec", optimize=0)
header = importlib.util.MAGIC_NUMBER + struct.pack("<3I", int(sys.argv[3]), int(sys.argv[4]), len(sys.argv[1]))
open(sys.argv[2], "wb").write(header + marshal.dumps(code, int(sys.argv[5])))
`

type compilation struct {
	source              string
	flags, time, format int
}

func (c compilation) run(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "main.pyc")
	command := exec.CommandContext(t.Context(), python(t), "-I", "-S", "-c", compiler, c.source, path,
		strconv.Itoa(c.flags), strconv.Itoa(c.time), strconv.Itoa(c.format))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

const module = `
ZERO = +0.0
LIMIT = 1000.0
def inside(name, value=("alpha", "beta")):
    """Tells."""
    return [x for x in value if x in {"alpha", "beta", "gamma", "delta", "epsilon"} and name != "alpha"]
`

func TestPycComparerComparesCode(t *testing.T) {
	plain := compilation{source: module, time: 1, format: 4}
	changed := func(old, with string) func(*compilation) {
		return func(c *compilation) { c.source = strings.Replace(c.source, old, with, 1) }
	}
	cases := []struct {
		name   string
		change func(*compilation)
		equal  bool
	}{
		{"nothing", func(*compilation) {}, true},
		{"the source's time", func(c *compilation) { c.time = 2 }, true},
		{"marshal's references", func(c *compilation) { c.format = 2 }, true},
		{"a constant", changed("1000.0", "1001.0"), false},
		{"a constant's type", changed("1000.0", "1000  "), false},
		{"a constant's sign", changed("1000.0", "-100.0"), false},
		{"a zero's sign", changed("+0.0", "-0.0"), false},
		{"a column", changed("= 1000.0", "=1000.0 "), false},
		{"a constant in a function", changed(`name != "alpha"`, `name != "ALPHA"`), false},
		{"an item of a set", changed("epsilon", "EPSILON"), false},
		{"a name", changed("LIMIT", "LIMI_"), false},
		{"a doc string", changed("Tells.", "tells."), false},
		{"a line", func(c *compilation) { c.source = "\n" + strings.TrimSuffix(c.source, "\n") }, false},
		{"the source's size", func(c *compilation) { c.source += " " }, false},
		{"the header's flags", func(c *compilation) { c.flags = 1 }, false},
	}
	p := &PycComparer{Path: python(t)}
	t.Cleanup(func() { _ = p.Close() })
	want := plain.run(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			other := plain
			c.change(&other)
			got := other.run(t)
			equal, err := p.Equal(t.Context(), want, got)
			if err != nil || equal != c.equal {
				t.Errorf("equal is %v with error %v, want %v", equal, err, c.equal)
			}
		})
	}
	if got := (compilation{source: module, time: 1, format: 2}).run(t); string(got) == string(want) {
		t.Error("both of marshal's formats give the same bytes: that case tests nothing")
	}
}

func TestPycComparerOnBrokenFiles(t *testing.T) {
	good := compilation{source: module, time: 1, format: 4}.run(t)
	foreign := append([]byte{1, 2, 3, 4}, good[4:]...)
	cases := []struct {
		name      string
		want, got []byte
		equal     bool
		err       string
	}{
		{"cut", good, good[:len(good)-3], false, ""},
		{"empty", good, nil, false, ""},
		{"both empty", nil, nil, false, ""},
		{"no code", good, append(good[:16:16], "zzzz"...), false, ""},
		{"another version's", good, foreign, false, ""},
		{"both another version's", foreign, append(foreign[:len(foreign):len(foreign)], 0), false, "does not read .pyc files of another version"},
		{"both another version's, and the same", foreign, foreign, true, ""},
	}
	p := &PycComparer{Path: python(t)}
	t.Cleanup(func() { _ = p.Close() })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			equal, err := p.Equal(t.Context(), c.want, c.got)
			if equal != c.equal || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("equal is %v with error %v, want %v and %q", equal, err, c.equal, c.err)
			}
		})
	}
}

func TestOneInterpreterComparesAllFiles(t *testing.T) {
	dir := t.TempDir()
	path := pythonScript(t, `echo started >>"`+dir+`/starts"; exec "`+python(t)+`" "$@"`)
	good := compilation{source: module, time: 1, format: 4}.run(t)
	p := &PycComparer{Path: path}
	for range 200 {
		if equal, err := p.Equal(t.Context(), good, good); !equal || err != nil {
			t.Fatalf("equal is %v with error %v", equal, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if starts, _ := os.ReadFile(filepath.Join(dir, "starts")); string(starts) != "started\n" {
		t.Errorf("the interpreter's starts: %q", starts)
	}
}

func TestInterpreterThatFailsIsReplaced(t *testing.T) {
	good := compilation{source: module, time: 1, format: 4}.run(t)
	cases := []struct{ name, path, want string }{
		{"there is none", filepath.Join(t.TempDir(), "python"), "starting "},
		{"it ends", pythonScript(t, "echo no memory >&2; exit 3"), "no memory"},
		{"it hangs", pythonScript(t, "exec sleep 100"), context.DeadlineExceeded.Error()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			p := &PycComparer{Path: c.path}
			if _, err := p.Equal(ctx, good, good); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
			p.Path = python(t)
			if equal, err := p.Equal(t.Context(), good, good); !equal || err != nil {
				t.Errorf("afterwards equal is %v with error %v", equal, err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func pythonScript(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
