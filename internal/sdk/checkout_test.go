package sdk

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository is a git repository with two commits, made without the machine's configuration.
type repository struct {
	t    *testing.T
	root string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit("first")
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit commits a Dockerfile with this text and gives the commit's SHA.
func (r repository) commit(text string) string {
	r.t.Helper()
	path := filepath.Join(r.root, dockerfilePath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.git("add", "-A")
	r.git("commit", "--quiet", "-m", text)
	return r.git("rev-parse", "HEAD")
}

func TestCloneResolvesRefs(t *testing.T) {
	r := newRepository(t)
	first := r.git("rev-parse", "HEAD")
	r.git("tag", "v1.0.0")
	r.git("tag", "-a", "-m", "annotated", "v1.1.0")
	r.git("branch", "feature/x")
	second := r.commit("second")
	r.git("branch", "both")
	r.git("tag", "both")
	r.git("branch", "unknown")

	cases := []struct {
		ref, sha string
		near     []string // of the RefError, where sha is empty
	}{
		{"main", second, nil},
		{"feature/x", first, nil},
		{"v1.0.0", first, nil},
		{"v1.1.0", first, nil},
		{"refs/tags/v1.1.0", first, nil},
		{"refs/heads/both", second, nil},
		{first, first, nil},
		{strings.ToUpper(first), first, nil},
		{first[:7], first, nil},
		{r.git("rev-parse", "v1.1.0"), first, nil}, // the tag object's own SHA
		{"both", "", []string{"refs/heads/both", "refs/tags/both"}},
		{"v1.0.9", "", []string{"v1.0.0", "v1.1.0"}},
		{"mian", "", []string{"main"}},
		{"feature/y", "", []string{"feature/x"}},
		{"unknown", "", nil},
		{"", "", nil},
		{"--upload-pack=true", "", nil},
		{strings.Repeat("0", 40), "", nil},
		{strings.Repeat("e", 40), "", nil},
		{"eeeeeee", "", nil},
	}
	for _, c := range cases {
		t.Run(c.ref, func(t *testing.T) {
			source := Source{Repository: "file://" + r.root, Ref: c.ref}
			checkout, err := Clone(t.Context(), source, t.TempDir(), Commands{Environ: os.Environ()})
			if c.sha == "" {
				var bad *RefError
				if !errors.As(err, &bad) {
					t.Fatalf("Clone = %+v, %v; want a RefError", checkout, err)
				}
				if diff := cmp.Diff(c.near, bad.Near); diff != "" {
					t.Errorf("nearest refs (-want +got):\n%s", diff)
				}
				if bad.Hint() == "" {
					t.Error("no hint")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			head := repository{t, checkout.Root}.git("rev-parse", "HEAD")
			if checkout.SHA != c.sha || head != c.sha {
				t.Errorf("SHA %s, HEAD %s, want %s", checkout.SHA, head, c.sha)
			}
			// By sha256sum of "first" and "second".
			want := map[string]string{first: "a7937b64b8ca", second: "16367aacb67a"}[c.sha]
			if got := checkout.DockerfileSHA256; len(got) != 64 || got[:12] != want {
				t.Errorf("DockerfileSHA256 = %s, want %s...", got, want)
			}
		})
	}
}

func TestCloneFetchesOneCommitOnly(t *testing.T) {
	r := newRepository(t)
	r.commit("second")
	checkout, err := Clone(t.Context(), Source{"file://" + r.root, "main"}, t.TempDir(), Commands{Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if n := (repository{t, checkout.Root}).git("rev-list", "--count", "HEAD"); n != "1" {
		t.Errorf("the checkout has %s commits, want a shallow one", n)
	}
}

// The dumb protocol has no shallow fetch and no commits by SHA.
func TestCloneFallsBackToEverything(t *testing.T) {
	r := newRepository(t)
	first := r.git("rev-parse", "HEAD")
	r.commit("second")
	r.git("tag", "-a", "-m", "x", "v2")
	r.git("update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(r.root, ".git"))))
	defer server.Close()
	for _, ref := range []string{"main", "v2", first, first[:9]} {
		t.Run(ref, func(t *testing.T) {
			checkout, err := Clone(t.Context(), Source{server.URL, ref}, t.TempDir(), Commands{Environ: os.Environ()})
			if err != nil {
				t.Fatal(err)
			}
			if want := r.git("rev-parse", ref+"^{commit}"); checkout.SHA != want {
				t.Errorf("SHA = %s, want %s", checkout.SHA, want)
			}
		})
	}
}

// In a container we are root, and the workspace's files are the runner's.
func TestCloneFromAnotherUsersRepository(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	r := newRepository(t)
	err := filepath.WalkDir(r.root, func(path string, _ os.DirEntry, _ error) error { return os.Lchown(path, 1001, 1001) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Clone(t.Context(), Source{"file://" + r.root, "main"}, t.TempDir(), Commands{Environ: os.Environ()}); err != nil {
		t.Error(err)
	}
}

func TestCloneSetupErrors(t *testing.T) {
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer private.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	other := newRepository(t)
	other.git("rm", "-rq", ".")
	other.git("commit", "-qm", "nothing left")

	cases := []struct{ name, repository, cause, hint string }{
		{"ssh", "ssh://git@example.invalid/x.git", "https, http or file", "write sdk-repository"},
		{"scp form", "git@example.invalid:x.git", "https, http or file", "write sdk-repository"},
		{"a program", "ext::sh -c true", "https, http or file", "write sdk-repository"},
		{"credentials", "https://user:secret@example.invalid/x.git", "must not hold credentials", "public"},
		{"private", private.URL, "", "credentials"},
		{"nobody there", gone.URL, "", "network"},
		{"no repository", "file://" + t.TempDir(), "", "as if it were not there; the whole output is in builds/setup.log"},
		{"another repository", "file://" + other.root, "no software-agent-sdk", "sdk-ref"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			cmds := Commands{Environ: os.Environ(), Log: &log, LogPath: "builds/setup.log"}
			_, err := Clone(t.Context(), Source{c.repository, "main"}, t.TempDir(), cmds)
			var failed *SetupError
			if !errors.As(err, &failed) {
				t.Fatalf("err = %v, want a SetupError", err)
			}
			if !strings.Contains(failed.Cause, c.cause) || strings.Contains(failed.Cause, "\n") || failed.Cause == "" {
				t.Errorf("cause = %q, want one line with %q", failed.Cause, c.cause)
			}
			if !strings.Contains(failed.Hint(), c.hint) {
				t.Errorf("hint = %q, want %q in it; the log:\n%s", failed.Hint(), c.hint, &log)
			}
		})
	}
}

func TestCloneWithoutGit(t *testing.T) {
	_, err := Clone(t.Context(), Source{"file:///x", "main"}, t.TempDir(), Commands{Environ: []string{"PATH=/nonexistent"}})
	var failed *SetupError
	if !errors.As(err, &failed) || !strings.Contains(failed.Hint(), "install git") {
		t.Errorf("err = %v, want a SetupError that says to install git", err)
	}
}

func TestCloneEndsWithItsContext(t *testing.T) {
	never := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer never.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmds := Commands{Environ: os.Environ(), Log: writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })}
	if _, err := Clone(ctx, Source{never.URL, "main"}, t.TempDir(), cmds); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want the context's", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// What the user's or the machine's git does to files on their way into a work tree is no part of the commit: the
// Dockerfile's hash is in the tags.
func TestCloneIgnoresTheUsersAttributes(t *testing.T) {
	r := newRepository(t)
	home := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(home, ".config/git"), 0o755),
		os.WriteFile(filepath.Join(home, ".config/git/attributes"), []byte("* text eol=crlf\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	r.commit("FROM scratch\n")
	cmds := Commands{Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}}
	got, err := Clone(t.Context(), Source{"file://" + r.root, "main"}, filepath.Join(t.TempDir(), "sdk"), cmds)
	if err != nil {
		t.Fatal(err)
	}
	if text := readFile(t, filepath.Join(got.Root, dockerfilePath)); text != "FROM scratch\n" {
		t.Errorf("the checkout's Dockerfile is %q, not as committed", text)
	}
}

// Errors about another repository name its inputs, and leave addresses, refs and the words of git as they are.
func TestErrorsOfAnotherRepositoryNameItsInputs(t *testing.T) {
	r := newRepository(t)
	r.git("tag", "v1.2.3")
	like := filepath.Join(t.TempDir(), "sdk-reference") // an address with the name of an input in it
	if err := os.Rename(r.root, like); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ repository, ref, want, hint string }{
		{like, "sdk-ref", `swt-bench-ref "sdk-ref" is no branch, tag or commit of file://` + like, "swt-bench-ref"},
		{like, "abc", `swt-bench-ref "abc" is no branch`, "a branch or a tag of swt-bench-repository"},
		{like, "v9.9.9", `swt-bench-ref "v9.9.9" is no branch`, "the newest release there is swt-bench-ref: v1.2.3"},
		{like, "main", `swt-bench-ref "main" of file://` + like + " has no src/x.py", "check swt-bench-repository and swt-bench-ref"},
		{like + "-gone", "main", "'" + like + "-gone' does not", "check swt-bench-repository; "},
	}
	for _, c := range cases {
		cmds := Commands{Environ: os.Environ(), LogPath: "sdk-ref.log", Log: t.Output()}
		_, _, err := CloneOther(t.Context(), Source{"file://" + c.repository, c.ref}, "swt-bench", "src/x.py", t.TempDir(), cmds)
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || !strings.Contains(err.Error(), c.want) || !strings.Contains(hinted.Hint(), c.hint) {
			t.Fatalf("the error is %v, want %q, and a hint with %q", err, c.want, c.hint)
		}
		if hint := hinted.Hint(); strings.Contains(strings.ReplaceAll(hint, "in sdk-ref.log", ""), "sdk-re") {
			t.Errorf("the hint names an input of the SDK: %s", hint)
		}
	}
}
