package sdk

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// twins makes two commits on branches of their own whose SHAs begin with the same 7 digits. Git's name of a commit is
// the SHA-1 of its text, so such a pair is among some 20,000 texts.
func (r repository) twins() (one, two string) {
	r.t.Helper()
	tree := r.git("rev-parse", "HEAD^{tree}")
	known := map[string]string{}
	for i := 0; ; i++ {
		text := fmt.Sprintf("tree %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n%d\n", tree, i)
		sha := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "commit %d\x00%s", len(text), text)))
		other, found := known[sha[:7]]
		if !found {
			known[sha[:7]] = text
			continue
		}
		return r.branchOf(other), r.branchOf(text)
	}
}

// branchOf puts a branch on the commit with this text.
func (r repository) branchOf(text string) string {
	r.t.Helper()
	write := exec.Command("git", "hash-object", "-t", "commit", "-w", "--stdin")
	write.Dir, write.Stdin = r.root, strings.NewReader(text)
	out, err := write.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	sha := strings.TrimSpace(string(out))
	r.git("branch", "twin-"+sha, sha)
	return sha
}

// What looks like one kind of name and is another, by both of git's protocols over http and by file.
func TestCloneResolvesUnusualRefs(t *testing.T) {
	r := newRepository(t)
	first := r.git("rev-parse", "HEAD")
	r.git("tag", "-a", "-m", "annotated", "v1")
	tagObject := r.git("rev-parse", "v1")
	second := r.commit("second")
	r.git("branch", "abcdef0", first) // Names that could be SHAs.
	r.git("tag", "1234567", first)
	one, two := r.twins()
	r.git("checkout", "--quiet", "--detach")
	requested := r.commit("a pull request's")
	r.git("update-ref", "refs/pull/7/head", "HEAD")
	r.git("update-ref", "refs/heads/x/refs/pull/9/head", first) // Ends like a ref that is not there.
	r.git("checkout", "--quiet", "-b", "develop", first)        // HEAD, and not the branch that git would guess.
	loose := r.git("commit-tree", "-m", "on no branch", "HEAD^{tree}")
	r.git("update-server-info")
	dumb := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(r.root, ".git"))))
	defer dumb.Close()

	cases := []struct {
		ref, sha string
		near     []string // of the RefError, where sha is empty
		hint     string
	}{
		{"HEAD", first, nil, ""},
		{"refs/heads/main", second, nil, ""},
		{"refs/pull/7/head", requested, nil, ""},
		{"refs/pull/9/head", "", []string{"x/refs/pull/9/head"}, "did you mean"},
		{"abcdef0", first, nil, ""},
		{"1234567", first, nil, ""},
		{second[:7], second, nil, ""},
		{strings.ToUpper(second[:12]), second, nil, ""},
		{tagObject[:10], first, nil, ""},
		{one, one, nil, ""},
		{one[:7], "", []string{one, two}, " or sdk-ref: " + one[:7]},
		{requested[:10], "", nil, "all 40 digits"},
		{loose[:10], "", nil, "all 40 digits"},
		{r.git("rev-parse", "HEAD^{tree}"), "", nil, "a commit SHA"},
	}
	for protocol, url := range map[string]string{"file": "file://" + r.root, "dumb": dumb.URL} {
		for _, c := range cases {
			t.Run(protocol+" "+c.ref, func(t *testing.T) {
				checkout, err := Clone(t.Context(), Source{url, c.ref}, t.TempDir(), Commands{Environ: os.Environ()})
				if c.sha != "" {
					if err != nil || checkout.SHA != c.sha {
						t.Errorf("Clone = %s, %v; want %s", checkout.SHA, err, c.sha)
					}
					return
				}
				var bad *RefError
				if !errors.As(err, &bad) {
					t.Fatalf("Clone = %s, %v; want a RefError", checkout.SHA, err)
				}
				if diff := cmp.Diff(c.near, bad.Near, inAnyOrder); diff != "" || !strings.Contains(bad.Hint(), c.hint) {
					t.Errorf("hint %q, want %q in it; near (-want +got):\n%s", bad.Hint(), c.hint, diff)
				}
			})
		}
	}
	t.Run("on no branch, whole", func(t *testing.T) {
		checkout, err := Clone(t.Context(), Source{"file://" + r.root, loose}, t.TempDir(), Commands{Environ: os.Environ()})
		if err != nil || checkout.SHA != loose {
			t.Errorf("Clone = %s, %v; want %s", checkout.SHA, err, loose)
		}
	})
}

// inAnyOrder compares lists as sets: git sorts twins by the digits after the common ones.
var inAnyOrder = cmp.Transformer("sorted", func(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
})
