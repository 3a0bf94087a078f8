package evalenv

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// files is a server of files by commit. The path of a request names how it answers: /owner/needs/COMMIT/first.txt.
type files struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int
}

// answers are the statuses that the server gives one after the other, by commit and file. The last one stays.
var answers = map[string][]int{
	"good/first.txt":    {200},
	"moved/first.txt":   {404},
	"moved/second.txt":  {200},
	"gone/first.txt":    {404},
	"gone/second.txt":   {404},
	"busy/first.txt":    {429, 200},
	"faulty/first.txt":  {500, 502, 200},
	"slow/first.txt":    {0, 200},
	"down/first.txt":    {500},
	"refused/first.txt": {403},
	"nested/nested.txt": {200},
	"nested/more.txt":   {503, 200},
}

func newFiles(t *testing.T) *files {
	f := &files{asked: map[string]int{}}
	ended := make(chan struct{})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/owner/"), "/")
		f.mu.Lock()
		status := http.StatusNotFound
		if all := answers[name]; len(all) > 0 {
			status = all[min(f.asked[name], len(all)-1)]
		}
		f.asked[name]++
		f.mu.Unlock()
		switch {
		case status == 0:
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		case status == 429:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		case status != 200:
			w.Header().Set("Retry-After", "inf")
			w.WriteHeader(status)
		case strings.HasSuffix(name, "/nested.txt"):
			fmt.Fprint(w, "-r more.txt\nown\n")
		default:
			fmt.Fprintf(w, "line of %s\n", name)
		}
	}))
	t.Cleanup(f.Close)
	t.Cleanup(func() { close(ended) })
	return f
}

// newHarness is a checkout of the fake harness, with the fake of its one package.
func newHarness(t *testing.T, files string) *Harness {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/harness")); err != nil {
		t.Fatal(err)
	}
	constants := filepath.Join(root, "src/constants.py")
	text, err := os.ReadFile(constants)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("@FILES@", files+"/", "@BASE@", "debian").Replace(string(text)))
	if err := os.WriteFile(constants, text, 0o644); err != nil {
		t.Fatal(err)
	}
	packages, err := filepath.Abs("testdata/packages")
	if err != nil {
		t.Fatal(err)
	}
	cmds := sdk.Commands{Environ: append(os.Environ(), "PYTHONPATH="+packages), Log: t.Output()}
	return &Harness{root: root, python: python(t), dir: dir, cmds: cmds, silence: time.Second}
}

func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func row(id, repo, commit string) Row {
	return Row{"instance_id": id, "repo": "owner/" + repo, "version": "1", "base_commit": "base", "environment_setup_commit": commit}
}

// script is the fake harness's script for a row.
func script(repo string, lines ...string) string {
	all := []string{"#!/bin/sh", "set -eux", "echo owner/" + repo + " 1 >/env"}
	for _, line := range lines {
		all = append(all, "echo "+line+" >>/env")
	}
	return strings.Join(append(all, "true", ""), "\n")
}

func key(script string) string {
	return fmt.Sprintf("exec.env.x86_64.%.22x:latest", sha256.Sum256([]byte(script)))[:len("exec.env.x86_64.")+22] + ":latest"
}

// fourAttempts is a retry without waits. It notes why it was asked for more.
func fourAttempts(classes *[]string) Retry {
	return func(attempt func() error) (err error) {
		for range 4 {
			if err = attempt(); err == nil || !failure.Retryable(err) {
				return err
			}
			*classes = append(*classes, string(failure.ClassOf(err)))
		}
		return err
	}
}

func TestSWTBenchAnswersForEachInstance(t *testing.T) {
	t.Parallel()
	server := newFiles(t)
	h := newHarness(t, server.URL)
	cases := []struct {
		id, repo, commit string
		want             string // the script, or the class of the failure
	}{
		{"a", "plain", "any", script("plain")},
		{"b", "plain", "other", script("plain")},
		{"c", "needs", "good", script("needs", "line of good/first.txt")},
		{"d", "needs", "moved", script("needs", "line of moved/second.txt")},
		{"e", "needs", "gone", "sdk-error"},
		{"f", "needs", "busy", script("needs", "line of busy/first.txt")},
		{"g", "needs", "faulty", script("needs", "line of faulty/first.txt")},
		{"h", "needs", "slow", script("needs", "line of slow/first.txt")},
		{"i", "needs", "down", "network"},
		{"j", "needs", "refused", "registry-auth"},
		// Without the nested file the harness would name another image.
		{"k", "nested", "nested", script("nested", "line of nested/more.txt", "own")},
		{"l", "needs", "good", script("needs", "line of good/first.txt")},
	}
	var rows []Row
	for _, c := range cases {
		rows = append(rows, row(c.id, c.repo, c.commit))
	}
	var again []string
	got, err := h.Ask(t.Context(), rows, fourAttempts(&again))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		a := got[i]
		is := a.Env.Script
		if a.Err != nil {
			is = string(failure.ClassOf(a.Err))
		}
		if a.InstanceID != c.id || is != c.want {
			t.Errorf("%s, %s: %q, %v; want %q", c.id, c.commit, is, a.Err, c.want)
		}
		if a.Err == nil && (a.Env.Key != key(c.want) || a.Base.Key != "exec.base.x86_64:latest" || !strings.Contains(a.Env.Dockerfile, a.Base.Key)) {
			t.Errorf("%s: the keys are %q on %q", c.id, a.Env.Key, a.Base.Key)
		}
	}
	if len(again) == 0 || again[0] != "rate-limit" {
		t.Errorf("asked again for %v; want the server that asks to wait first", again)
	}
	// What arrived is kept, what failed for good is not asked for again.
	want := map[string]int{
		"good/first.txt": 1, "moved/first.txt": 1, "moved/second.txt": 1, "gone/first.txt": 1, "gone/second.txt": 1, "busy/first.txt": 2,
		"faulty/first.txt": 3, "slow/first.txt": 2, "down/first.txt": 4, "refused/first.txt": 1, "nested/nested.txt": 1, "nested/more.txt": 2,
	}
	if diff := cmp.Diff(want, server.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// twoThreads fetches one file in two threads, of which the first is still busy when the second ends, and then another file whose text
// cannot be read. It prints what is left. Its arguments are the driver and a folder.
const twoThreads = `
import os, sys, threading, types
text = open(sys.argv[1]).read()
exec(text[:text.rindex("main()")])
folder, ended = sys.argv[2], threading.Event()

class Response:
    status_code, headers = 200, {}
    def __init__(self, wait):
        self.wait = wait
    @property
    def text(self):
        self.wait()
        return "text"

responses = [Response(ended.wait), Response(lambda: None), Response(lambda: 1 / 0)]
requests = types.SimpleNamespace(get=lambda url, **options: responses.pop(0), exceptions=types.SimpleNamespace(Timeout=OSError, RequestException=OSError))
files, kept = Files(requests, folder, 1, ""), os.path.join(folder, "kept")
first = threading.Thread(target=files.fetch_now, args=("http://one", {}, kept))
first.start()
while not os.listdir(folder):
    pass
files.fetch_now("http://one", {}, kept)
ended.set()
first.join()
try:
    files.fetch_now("http://two", {}, os.path.join(folder, "other"))
except ZeroDivisionError:
    pass
print(os.listdir(folder), open(kept).read())
`

func TestTwoThreadsMayFetchOneFile(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(python(t), "-c", twoThreads, "driver.py", t.TempDir()).CombinedOutput()
	if want := "fetched http://one: 200\nfetched http://one: 200\nfetched http://two: 200\n['kept'] text\n"; err != nil || string(out) != want {
		t.Errorf("%v, and it said\n%s\nwant\n%s", err, out, want)
	}
}

func TestAHarnessThatDoesNotImportIsASetUpError(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "http://unused.test")
	if err := os.Remove(filepath.Join(h.root, "src/utils.py")); err != nil {
		t.Fatal(err)
	}
	var again []string
	_, err := h.Ask(t.Context(), []Row{row("a", "plain", "any")}, fourAttempts(&again))
	if err == nil || !strings.Contains(err.Error(), "src.utils") || len(again) > 0 {
		t.Errorf("the error is %v, after %d more attempts", err, len(again))
	}
}

// An image for another platform, or under a name that no registry takes, costs its instance alone.
func TestImagesThatCannotBePushed(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, from, to string // in the harness
		class          failure.Class
		says           string
	}{
		{"another platform", `f"linux/{self.arch}"`, `"linux/arm64" if self.row["version"] == "odd" else "linux/x86_64"`, failure.ClassPlatform, "linux/arm64"},
		{"a name with a slash", `f"exec.base.{self.arch}:latest"`, `"exec.base.x86_64:latest" if self.row["version"] != "odd" else "a/b:latest"`, failure.ClassSDK, `"a/b:latest"`},
		{"a name without a tag", `f"exec.base.{self.arch}:latest"`, `"exec.base.x86_64:latest" if self.row["version"] != "odd" else "a"`, failure.ClassSDK, `"a"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, "http://unused.test")
			file := filepath.Join(h.root, "src/exec_spec.py")
			text, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, []byte(strings.ReplaceAll(string(text), c.from, c.to)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			odd := row("b", "plain", "any")
			odd["version"] = "odd"
			var again []string
			got, err := h.Ask(t.Context(), []Row{row("a", "plain", "any"), odd}, fourAttempts(&again))
			if err != nil {
				t.Fatal(err)
			}
			if failed := got[1].Err; got[0].Err != nil || failed == nil || failure.ClassOf(failed) != c.class || !strings.Contains(failed.Error(), c.says) || len(again) > 0 {
				t.Errorf("%v and %v after %d more attempts; want %s with %q for the second alone", got[0].Err, failed, len(again), c.class, c.says)
			}
		})
	}
}

// recorded is the environment of an instance as swt-bench itself names it.
type recorded struct {
	Row     Row    `json:"row"`
	Base    string `json:"base"`
	Env     string `json:"env"`
	Fetched bool   `json:"fetched"` // swt-bench reads a file of the repository
}

// TestKeysAreThoseOfSWTBench compares with the real swt-bench. EVALENV_SWT_BENCH is a checkout of it, and EVALENV_FILES a folder with
// the files that it fetches, as OWNER/NAME/COMMIT/PATH. Python needs requests, python-dotenv and docker. Without a checkout this test
// is not run.
func TestKeysAreThoseOfSWTBench(t *testing.T) {
	t.Parallel()
	checkout := os.Getenv("EVALENV_SWT_BENCH")
	if checkout == "" {
		t.Skip("no checkout of swt-bench is given by EVALENV_SWT_BENCH")
	}
	h := &Harness{root: checkout, python: python(t), dir: t.TempDir(), cmds: sdk.Commands{Environ: os.Environ(), Log: t.Output()}, silence: silence}
	if folder := os.Getenv("EVALENV_FILES"); folder != "" {
		server := httptest.NewServer(http.FileServer(http.Dir(folder)))
		defer server.Close()
		h.mirror = server.URL + "/"
	}
	text, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []recorded
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for _, r := range want {
		rows = append(rows, r.Row)
	}
	var again []string
	got, err := h.Ask(t.Context(), rows, fourAttempts(&again))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range want {
		if a := got[i]; a.Err != nil || a.Base.Key != r.Base || a.Env.Key != r.Env {
			t.Errorf("%s: %q on %q, %v; want %q on %q", r.Row["instance_id"], a.Env.Key, a.Base.Key, a.Err, r.Env, r.Base)
		}
	}
}
