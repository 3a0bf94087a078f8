package verify

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// python finds an interpreter. The SDK's own is 3.13; what is tested here does not depend on the version.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("code.py cannot be tested without python3: %v", err)
	}
	if err != nil {
		t.Skipf("code.py cannot be tested without python3: %v", err)
	}
	return path
}

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

func TestPythonComparesCode(t *testing.T) {
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
	p := &Python{Path: python(t)}
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

func TestPythonOnWhatIsBroken(t *testing.T) {
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
		{"no code", good, append(good[:headerSize:headerSize], "zzzz"...), false, ""},
		{"another version's", good, foreign, false, ""},
		{"both another version's", foreign, append(foreign[:len(foreign):len(foreign)], 0), false, "does not read .pyc files of another version"},
		{"both another version's, and the same", foreign, foreign, true, ""},
	}
	p := &Python{Path: python(t)}
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

func TestOneInterpreterServesAll(t *testing.T) {
	dir := t.TempDir()
	path := script(t, `echo started >>"`+dir+`/starts"; exec "`+python(t)+`" "$@"`)
	good := compilation{source: module, time: 1, format: 4}.run(t)
	p := &Python{Path: path}
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

func TestInterpreterFails(t *testing.T) {
	good := compilation{source: module, time: 1, format: 4}.run(t)
	cases := []struct{ name, path, want string }{
		{"there is none", filepath.Join(t.TempDir(), "python"), "starting "},
		{"it ends", script(t, "echo no memory >&2; exit 3"), "no memory"},
		{"it hangs", script(t, "exec sleep 100"), context.DeadlineExceeded.Error()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			p := &Python{Path: c.path}
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

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// comparer is a PycComparer that calls equal what says the same behind the header but for its case.
type comparer struct {
	asked int
	err   error
}

func (c *comparer) Equal(_ context.Context, want, got []byte) (bool, error) {
	c.asked++
	return strings.EqualFold(string(want[headerSize:]), string(got[headerSize:])), c.err
}

func TestCompiledFilesOfAgentLayers(t *testing.T) {
	big := strings.Repeat("x", 9<<20)
	compiled := func(name string, time byte, code string) entry { return regular(name+".pyc", pycOf(0, time, 1, code)) }
	want := []entry{compiled("a", 1, "code"), compiled("b", 1, "code"), compiled("c", 1, "code")}
	got := []entry{compiled("a", 2, "Code"), compiled("b", 2, "cold"), compiled("c", 2, "code")}
	cases := []struct {
		name                 string
		want, got            [][]entry
		base, asked, opened  int
		found                []string
		withoutPyc, withTree bool
	}{
		{name: "one of the same code, one not, one of another time", want: [][]entry{want}, got: [][]entry{got},
			asked: 2, opened: 4, found: []string{"/b.pyc"}},
		{name: "nothing compares code", want: [][]entry{want}, got: [][]entry{got}, opened: 2,
			found: []string{"/a.pyc", "/b.pyc"}, withoutPyc: true},
		{name: "the upper of two layers counts", want: [][]entry{{compiled("a", 1, "zero")}, want[:1]}, got: [][]entry{got[:1]},
			asked: 1, opened: 6},
		{name: "the mode differs too", want: [][]entry{want[:1]}, got: [][]entry{{got[0].mode(0o600)}}, opened: 2,
			found: []string{"/a.pyc"}},
		{name: "more than is held at once", want: [][]entry{{compiled("a", 1, big), compiled("b", 1, big)}},
			got: [][]entry{{compiled("a", 1, strings.ToUpper(big)), compiled("b", 1, "X"+big[1:])}}, asked: 2, opened: 6},
		{name: "more than is ever held", want: [][]entry{{compiled("a", 1, big+big), want[1]}},
			got: [][]entry{{compiled("a", 1, "X"+big+big[1:]), compiled("b", 1, "Code")}}, asked: 1, opened: 4, found: []string{"/a.pyc"}},
		{name: "nothing that could be held", want: [][]entry{{compiled("a", 1, big+big)}},
			got: [][]entry{{compiled("a", 1, "X"+big+big[1:])}}, opened: 2, found: []string{"/a.pyc"}},
		{name: "asked once with the whole tree too", want: [][]entry{want}, got: [][]entry{got}, asked: 2, opened: 6,
			found: []string{"/b.pyc"}, withTree: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, code := store(), &comparer{}
			o := Options{Pyc: code, Tree: c.withTree}
			if c.withoutPyc {
				o.Pyc = nil
			}
			found := compare(t, b, b.image(t, plainTar, "{}", c.want...), b.image(t, plainTar, "{}", c.got...), o)
			if diff := cmp.Diff(c.found, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			opened := 0
			for _, n := range b.opened {
				opened += n
			}
			if code.asked != c.asked || opened != c.opened {
				t.Errorf("asked %d times and opened %d layers, want %d and %d", code.asked, opened, c.asked, c.opened)
			}
		})
	}
	t.Run("it cannot tell", func(t *testing.T) {
		b := store()
		broken := errors.New("broken")
		_, err := Compare(t.Context(), b, b.image(t, gzipped, "{}", want), b.image(t, gzipped, "{}", got), Options{Pyc: &comparer{err: broken}})
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a.pyc") {
			t.Errorf("error is %v, want the comparer's with the file's name", err)
		}
	})
}
