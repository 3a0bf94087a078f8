package sdk

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// verdict is what becomes of a command: it passes as it is, or it is answered with the prebuilt sdist; and whether it
// counts as an sdist of the SDK's own making.
type verdict struct {
	Passed  bool `json:"passed"`
	Counted int  `json:"counted"`
}

var (
	answered = verdict{}
	passes   = verdict{Passed: true}
	counted  = verdict{Passed: true, Counted: 1}
)

// TestIntercept has a row for each way in which a command could be, or only look like, the SDK's own sdist build. $ROOT
// is the SDK's root, $LINK a symbolic link to it, $OUT the folder that the sdist is asked into.
func TestIntercept(t *testing.T) {
	const own = "uv build --sdist --out-dir $OUT" // B's, in all releases
	inRoot := call{kwargs: "$ROOT"}
	cases := []struct {
		name, cmd string
		call      call
		want      verdict
	}{
		{"the SDK's own", own, inRoot, answered},
		{"cwd by position", own, call{args: "$ROOT"}, answered},
		{"flags the other way round", "uv build --out-dir $OUT --sdist", inRoot, answered},
		{"the root by a symbolic link", own, call{kwargs: "$LINK"}, answered},
		{"the root by dots", own, call{kwargs: "$ROOT/member/.."}, answered},
		{"a relative cwd that is the root", own, call{in: "$ROOT/member", kwargs: ".."}, answered},

		{"a relative cwd that is not", own, call{in: "$ROOT", kwargs: "member"}, counted},
		{"the same name elsewhere", own, call{in: "/", kwargs: "."}, counted},
		{"a member of the workspace", own, call{kwargs: "$ROOT/member"}, counted},
		{"the root's parent", own, call{kwargs: "$ROOT/.."}, counted},
		{"another folder", own, call{kwargs: "/"}, counted},
		{"cwd None, in the root", own, call{in: "$ROOT", none: true}, counted},
		{"no cwd, in the root", own, call{in: "$ROOT"}, counted},

		{"one more flag", own + " --no-build-isolation", inRoot, counted},
		{"one package of the workspace", own + " --package openhands-sdk", inRoot, counted},
		{"another source", "uv build openhands-sdk --sdist --out-dir $OUT", inRoot, counted},
		{"another source, at the end", own + " openhands-sdk", inRoot, counted},
		{"a wheel beside it", own + " --wheel", inRoot, counted},
		{"a global flag before", "uv --quiet build --sdist --out-dir $OUT", inRoot, passes},
		{"out-dir as one word", "uv build --sdist --out-dir=$OUT", inRoot, counted},
		{"out-dir's short form", "uv build --sdist -o $OUT", inRoot, counted},
		{"no out-dir", "uv build --sdist", inRoot, counted},
		{"no folder after out-dir", "uv build --sdist --out-dir", inRoot, counted},

		{"a wheel", "uv build --wheel --out-dir $OUT", inRoot, passes},
		{"both kinds", "uv build --out-dir $OUT", inRoot, passes},
		{"another of uv's commands", "uv sync --frozen", inRoot, passes},
		{"another uv", "/usr/bin/uv build --sdist --out-dir $OUT", inRoot, passes},
		{"another program", "git build --sdist --out-dir $OUT", inRoot, passes},
		{"docker", "docker buildx build --push .", inRoot, passes},
		{"nothing", "", inRoot, passes},
	}
	interpreter := python(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newInterceptFixture(t)
			got := f.ask(interpreter, c.cmd, c.call)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			copied, _ := os.ReadFile(filepath.Join(f.out, "x-1.tar.gz"))
			if (string(copied) == "the prebuilt sdist") != (c.want == answered) {
				t.Errorf("the folder holds %q", copied)
			}
		})
	}
}

// call is how _run is called, and from where.
type call struct {
	in           string
	args, kwargs string // cwd by position, or by name
	none         bool   // cwd=None, by name
}

type interceptFixture struct {
	t                        *testing.T
	root, link, out, program string
	sdist                    string
	replace                  *strings.Replacer
}

func newInterceptFixture(t *testing.T) interceptFixture {
	t.Helper()
	dir := t.TempDir()
	f := interceptFixture{t: t, root: dir + "/sdk", link: dir + "/link", out: dir + "/out", program: dir + "/worker.py", sdist: dir + "/x-1.tar.gz"}
	for _, folder := range []string{f.root + "/member", f.out} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		f.program: string(workerProgram), dir + "/capture.py": string(captureProgram),
		f.sdist: "the prebuilt sdist",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(f.root, f.link); err != nil {
		t.Fatal(err)
	}
	f.replace = strings.NewReplacer("$ROOT", f.root, "$LINK", f.link, "$OUT", f.out)
	return f
}

func (f interceptFixture) ask(interpreter, command string, c call) verdict {
	f.t.Helper()
	question := map[string]any{"in": "/", "cmd": strings.Fields(f.replace.Replace(command)), "args": []any{}, "kwargs": map[string]any{}}
	if c.in != "" {
		question["in"] = f.replace.Replace(c.in)
	}
	switch {
	case c.args != "":
		question["args"] = []any{f.replace.Replace(c.args)}
	case c.kwargs != "":
		question["kwargs"] = map[string]any{"cwd": f.replace.Replace(c.kwargs)}
	case c.none:
		question["kwargs"] = map[string]any{"cwd": nil}
	}
	text, err := json.Marshal(question)
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "testdata/intercept.py", f.program, f.root, f.sdist)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(text)), f.t.Output()
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatal(err)
	}
	var v verdict
	if err := json.Unmarshal(out, &v); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
	return v
}
