package sdk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write writes a file of the repository's work tree.
func (r repository) write(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// cloned gives a work tree of its own kind of r, and what its HEAD is.
func (r repository) cloned(args ...string) (root, head string) {
	r.t.Helper()
	root = filepath.Join(r.t.TempDir(), "with blank %41 ü")
	r.git(append(append([]string{"clone", "--quiet"}, args...), "file://"+r.root, root)...)
	return root, repository{r.t, root}.git("rev-parse", "HEAD")
}

// files describes every file and folder below root by content, mode, owner and time.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[path] = fmt.Sprint(info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			found[path] += readFile(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCloneWorkTree(t *testing.T) {
	cases := []struct {
		name string
		make func(r repository) (root, head string)
	}{
		{"a clone", func(r repository) (string, string) { return r.cloned() }},
		{"a shallow one", func(r repository) (string, string) { return r.cloned("--depth=1") }},
		{"at a tag", func(r repository) (string, string) {
			r.git("tag", "-a", "-m", "x", "v1", "HEAD^")
			return r.cloned("--branch=v1")
		}},
		{"with a commit of its own", func(r repository) (string, string) {
			root, _ := r.cloned()
			return root, repository{r.t, root}.commit("local")
		}},
		{"a submodule", func(r repository) (string, string) {
			outer := newRepository(r.t)
			outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "file://"+r.root, "sdk")
			root := filepath.Join(outer.root, "sdk")
			return root, repository{r.t, root}.git("rev-parse", "HEAD")
		}},
		{"a worktree", func(r repository) (string, string) {
			root := filepath.Join(r.t.TempDir(), "tree")
			r.git("worktree", "add", "--quiet", "--detach", root, "HEAD^")
			return root, r.git("rev-parse", "HEAD^")
		}},
		{"another user's", func(r repository) (string, string) {
			if os.Getuid() != 0 {
				r.t.Skip("needs root, to give files away")
			}
			root, head := r.cloned()
			err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error { return os.Lchown(path, 1001, 1001) })
			if err != nil {
				r.t.Fatal(err)
			}
			return root, head
		}},
		{"with ignored files", func(r repository) (string, string) {
			root, head := r.cloned()
			repository{r.t, root}.write(".git/info/exclude", "*.pyc\n")
			repository{r.t, root}.write("a/b.pyc", "x")
			return root, head
		}},
		{"with a stale index", func(r repository) (string, string) {
			root, head := r.cloned()
			repository{r.t, root}.write(dockerfilePath, "second") // Its text, at another time.
			return root, head
		}},
		{"with CRLF, as its user's git wants it", func(r repository) (string, string) {
			root, head := r.cloned("-c", "core.autocrlf=true")
			tree := repository{r.t, root}
			tree.git("config", "--unset", "core.autocrlf") // a user's configuration is not in the tree
			tree.write("gitconfig", "[core]\n\tautocrlf = true\n\texcludesFile = "+filepath.Join(r.t.TempDir(), "ignore")+"\n")
			r.t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(r.t.TempDir(), "gitconfig"))
			if err := os.Rename(filepath.Join(root, "gitconfig"), os.Getenv("GIT_CONFIG_GLOBAL")); err != nil {
				r.t.Fatal(err)
			}
			touch(r.t, root)
			return root, head
		}},
		{"with files that its user's git ignores", func(r repository) (string, string) {
			root, head := r.cloned()
			home := r.t.TempDir()
			repository{r.t, home}.write(".gitconfig", "[core]\n\texcludesFile = ~/ignore\n")
			repository{r.t, home}.write("ignore", ".idea\n")
			repository{r.t, root}.write(".idea/x", "")
			r.t.Setenv("HOME", home)
			return root, head
		}},
		{"whose user has a broken configuration", func(r repository) (string, string) {
			home := r.t.TempDir()
			root, head := r.cloned()
			repository{r.t, home}.write(".gitconfig", "[core\n")
			r.t.Setenv("HOME", home)
			return root, head
		}},
		{"with a file watcher", func(r repository) (string, string) {
			root, head := r.cloned()
			repository{r.t, root}.git("config", "core.fsmonitor", "touch "+filepath.Join(root, "ran")+";:")
			return root, head
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRepository(t)
			r.commit("second")
			root, head := c.make(r)
			before := files(t, root)
			tree := WorkTree{Base: filepath.Dir(root), Path: filepath.Base(root)}
			checkout, err := CloneWorkTree(t.Context(), tree, filepath.Join(t.TempDir(), "clone"), Commands{Environ: os.Environ()})
			if err != nil {
				t.Fatal(err)
			}
			ours := repository{t, checkout.Root}
			if got := ours.git("rev-parse", "HEAD"); got != head || checkout.SHA != head {
				t.Errorf("SHA %s, HEAD %s, want %s", checkout.SHA, got, head)
			}
			if dirty := ours.git("status", "--porcelain"); dirty != "" || len(checkout.DockerfileSHA256) != 64 {
				t.Errorf("our checkout is not clean, or not whole: %+v\n%s", checkout, dirty)
			}
			if diff := cmp.Diff(before, files(t, root)); diff != "" {
				t.Errorf("the user's tree was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// touch makes git look into all files of a tree again.
func touch(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if entry.Name() == ".git" {
			return filepath.SkipDir
		}
		later := time.Now().Add(time.Hour)
		return errors.Join(err, os.Chtimes(path, later, later))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A tree whose files have other line ends than git expects is not told to be changed by its user.
func TestOtherLineEndsAreNamed(t *testing.T) {
	r := newRepository(t)
	r.write("a.txt", "1\n")
	r.write(dockerfilePath, "FROM scratch\n")
	r.commit("FROM scratch\n")
	root, _ := r.cloned("-c", "core.autocrlf=true")
	repository{t, root}.git("config", "--unset", "core.autocrlf")
	touch(t, root)
	clone := func() error {
		_, err := CloneWorkTree(t.Context(), WorkTree{Path: root}, filepath.Join(t.TempDir(), "clone"), Commands{Environ: os.Environ()})
		return err
	}
	var bad *PathError
	if err := clone(); !errors.As(err, &bad) || !strings.Contains(bad.Problem, "has 2 files that differ from the commit by their line ends only") ||
		!strings.Contains(bad.Hint(), "git config core.autocrlf true") {
		t.Fatalf("error is %v, want one that names line ends", err)
	}
	repository{t, root}.git("config", "core.autocrlf", "true") // as the hint says
	if err := clone(); err != nil {
		t.Error(err)
	}
	repository{t, root}.write("a.txt", "2\r\n")
	if err := clone(); !errors.As(err, &bad) || !strings.Contains(bad.Problem, "modified: a.txt") {
		t.Errorf("error is %v, want a change", err)
	}
}

// A tree that borrows its objects from a repository that is not there has a commit, and its user cannot commit anything.
func TestTreesWithoutTheirLender(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, tree repository)
		lender bool // is there
		want   string
		hint   string
	}{
		"--shared": {func(*testing.T, repository) {}, false, "unable to normalize alternate object path", "clone without --shared"},
		"--shared, with a commit of its own": {
			func(t *testing.T, tree repository) { tree.commit("own") }, false, "unable to normalize alternate object path", "clone without --shared",
		},
		"--shared, and the lender is there": {func(*testing.T, repository) {}, true, "", ""},
		"objects that are lost": {func(t *testing.T, tree repository) {
			if err := os.Remove(filepath.Join(tree.root, ".git/objects/info/alternates")); err != nil {
				t.Fatal(err)
			}
		}, true, "lacks the objects of its commit ", "check it out again"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			lender := newRepository(t)
			lender.write("a.txt", "1")
			lender.commit("second")
			root := filepath.Join(t.TempDir(), "tree")
			lender.git("clone", "--quiet", "--shared", lender.root, root)
			c.change(t, repository{t, root})
			if !c.lender {
				if err := os.RemoveAll(lender.root); err != nil {
					t.Fatal(err)
				}
			}
			_, err := CloneWorkTree(t.Context(), WorkTree{Path: root}, filepath.Join(t.TempDir(), "clone"), Commands{Environ: os.Environ()})
			var bad *PathError
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Problem, c.want) || !strings.Contains(bad.Hint(), c.hint)):
				t.Errorf("error is %v, want %q and the hint %q", err, c.want, c.hint)
			}
		})
	}
}

func TestUncommittedChangesAreListed(t *testing.T) {
	r := newRepository(t)
	for _, name := range []string{"modified", "staged", "deleted", "gone"} {
		r.write(name+".py", "1")
	}
	r.commit("second")
	cases := []struct {
		name, record string
		change       func(tree repository)
		want         string
	}{
		{"every kind", "", func(tree repository) {
			tree.write("modified.py", "2")
			tree.write("staged.py", "2")
			tree.git("add", "staged.py")
			tree.git("rm", "--quiet", "gone.py")
			tree.write("added.py", "3")
			tree.git("add", "added.py")
			os.Remove(filepath.Join(tree.root, "deleted.py"))
			tree.write("new folder/a.py", "x")
			tree.write("with\nbreak", "x")
		}, "has 7 uncommitted changes:\nadded, staged: added.py\ndeleted: deleted.py\ndeleted, staged: gone.py\nmodified: modified.py\n" +
			"modified, staged: staged.py\nuntracked: \"new folder/\"\nuntracked: \"with\\nbreak\""},
		{"one, hidden by configuration", "", func(tree repository) {
			tree.git("config", "status.showUntrackedFiles", "no")
			tree.write("new.py", "x")
		}, "has an uncommitted change:\nuntracked: new.py"},
		{"very many", "", func(tree repository) {
			for i := range 25 {
				tree.write(fmt.Sprintf("n%02d", i), "x")
			}
		}, "has 25 uncommitted changes:\nuntracked: n00\n*\nuntracked: n19\nand 5 more"},
		{"our own record is none", "out/builds", func(tree repository) {
			tree.write("out/builds/manifest.jsonl", "x")
			tree.write("out/other", "x")
		}, "has an uncommitted change:\nuntracked: out/"},
		{"nothing but our record", "out/builds", func(tree repository) { tree.write("out/builds/manifest.jsonl", "x") }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root, _ := r.cloned()
			c.change(repository{t, root})
			tree := WorkTree{Base: root, Path: ".", Record: c.record}
			_, err := CloneWorkTree(t.Context(), tree, filepath.Join(t.TempDir(), "clone"), Commands{Environ: os.Environ()})
			var bad *PathError
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &bad) || !strings.Contains(bad.Hint(), "commit them") {
				t.Fatalf("err = %v, want a PathError that says to commit", err)
			}
			head, end, cut := strings.Cut(c.want, "*")
			if bad.Problem != c.want && !(cut && strings.HasPrefix(bad.Problem, head) && strings.HasSuffix(bad.Problem, end)) {
				t.Errorf("problem:\n%s\nwant\n%s", bad.Problem, c.want)
			}
			if lines := strings.Count(bad.Problem, "\n"); lines > 1+maxListedChanges {
				t.Errorf("%d lines are listed", lines)
			}
		})
	}
}

func TestPathErrors(t *testing.T) {
	r := newRepository(t)
	base := t.TempDir()
	at := func(name string) repository { return repository{t, filepath.Join(base, name)} }
	at("file").write("../a file", "x")
	at("plain").write("x.py", "x")
	at("nowhere").write(".git", "x")
	at("worktree").write(".git", "gitdir: /home/runner/work/a/a/.git/worktrees/b\n")
	at("submodule").write(".git", "gitdir: ../.git/modules/b\n")
	at("broken").write(".git/HEAD", "x")
	for _, folder := range []string{"empty", "unborn", "other"} {
		if err := os.Mkdir(filepath.Join(base, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at("unborn").git("init", "--quiet")
	at("other").git("init", "--quiet")
	at("other").write("README.md", "x") // Not even committed: that is not the first thing to say.
	at("other").git("commit", "--quiet", "--allow-empty", "-m", "x")
	r.git("clone", "--quiet", "--bare", r.root, filepath.Join(base, "bare"))
	r.git("clone", "--quiet", r.root, filepath.Join(base, "whole"))
	partial := filepath.Join(base, "partial")
	r.git("config", "uploadpack.allowFilter", "true")
	r.git("clone", "--quiet", "--filter=blob:none", "--sparse", "file://"+r.root, partial)

	cases := []struct{ path, problem, hint, atCommandLine string }{
		{"absent", "does not exist", "in the workspace", "git clone"},
		{"a file", "is not a folder", "check the SDK out", "top folder of a git checkout"},
		{"empty", "is an empty folder", "submodules: true", "git submodule update --init"},
		{"plain", "is not a git checkout", "actions/checkout", "top folder of a git checkout"},
		{"nowhere", "points nowhere", "check the SDK out", "top folder of a git checkout"},
		{"worktree", `its .git points to "/home/runner/work/a/a/.git/worktrees/b"`, "--relative-paths", "git worktree repair in"},
		{"submodule", `its .git points to "../.git/modules/b"`, "in the workspace too", "is still there"},
		{"bare", "is a git repository without a work tree", "sdk-repository: file://", "sdk-repository: file://"},
		{"whole/openhands-agent-server", "is not the top of a git checkout", "sdk-path: whole;", "sdk-path: whole;"},
		{filepath.Join(base, "whole/openhands-agent-server"), "is not the top", "sdk-path: " + base + "/whole;", "sdk-path: " + base + "/whole;"},
		{"partial", "has only a part of its commit's files", "without sparse-checkout", "without --sparse"},
		{"broken", "cannot be used by git: not a git repository", "check the SDK out", "top folder of a git checkout"},
		{"unborn", "has no commit yet", "commit the SDK's files", "commit the SDK's files"},
		{"other", "is no software-agent-sdk", "check the SDK out", "top folder of a git checkout"},
	}
	ofWorkflows := regexp.MustCompile(`step|container|workspace|actions/`)
	for _, c := range cases {
		for _, atCommandLine := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s at a command line: %v", c.path, atCommandLine), func(t *testing.T) {
				tree := WorkTree{Base: base, Path: c.path, CommandLine: atCommandLine}
				_, err := CloneWorkTree(t.Context(), tree, filepath.Join(t.TempDir(), "clone"), Commands{Environ: os.Environ()})
				var bad *PathError
				if !errors.As(err, &bad) || bad.Path != c.path {
					t.Fatalf("err = %v, want a PathError", err)
				}
				if !strings.Contains(bad.Problem, c.problem) || strings.Contains(bad.Problem, "\n") {
					t.Errorf("problem = %q, want one line with %q", bad.Problem, c.problem)
				}
				want := c.hint
				if atCommandLine {
					want = c.atCommandLine
				}
				if !strings.Contains(bad.Hint(), want) || atCommandLine && ofWorkflows.MatchString(bad.Hint()) {
					t.Errorf("hint = %q, want %q in it, and nothing of workflows at a command line", bad.Hint(), want)
				}
			})
		}
	}
}
