package sdk

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// TestRealSetupFaults has the real uv and git meet what they cannot get past, on the SDK's own lock. All package URLs
// lead to servers on loopback. EVAL_IMAGES_SMALL_DISK names a folder on a disk that the test may fill.
func TestRealSetupFaults(t *testing.T) {
	parts := findRealParts(t)
	full := fullDisk(t)
	source := Source{parts.repository, parts.refs[0]}
	sdk, err := Clone(t.Context(), source, filepath.Join(t.TempDir(), "sdk"), Commands{Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(answering))
	defer server.Close()
	secure, _ := untrusted(t, http.HandlerFunc(answering))
	index := func(url string) func(*testing.T, *faulty) {
		return func(t *testing.T, f *faulty) {
			f.replace(t, "uv.lock", `https://[^/"]+/`, url+"/")
			f.environ = append(f.environ, "UV_DEFAULT_INDEX="+url+"/simple")
		}
	}
	cases := []struct {
		name        string
		make        func(*testing.T, *faulty)
		cause, hint string
	}{
		{
			"a newer lock", func(t *testing.T, f *faulty) { f.replace(t, "uv.lock", `(?m)^version = 1$`, "version = 99") },
			"unsupported schema version (v99", "this uv cannot read",
		},
		{"an unreadable lock", func(t *testing.T, f *faulty) { f.replace(t, "uv.lock", `\[\[package`, "[package") }, "Failed to parse `uv.lock`", "this uv cannot read"},
		{"no lock", func(t *testing.T, f *faulty) { f.remove(t, "uv.lock") }, "Unable to find lockfile", "that has a uv.lock"},
		{
			"a newer uv wanted", func(t *testing.T, f *faulty) {
				f.replace(t, "pyproject.toml", `(?m)^\[tool.uv\]$`, "[tool.uv]\nrequired-version = \">=99\"")
			},
			"Required uv version `>=99`", "this uv cannot read",
		},
		{"a newer Python wanted", func(t *testing.T, f *faulty) {
			for _, file := range []string{"uv.lock", "openhands-sdk/pyproject.toml"} {
				f.replace(t, file, `(?m)^requires-python.*`, `requires-python = ">=3.99"`)
			}
		}, "incompatible with the project's Python requirement: `>=3.99`", "contradict each other"},
		{"no Python", func(t *testing.T, f *faulty) { f.environ = []string{"PATH=" + f.pathOf(t, "uv", "git")} }, "this machine has no Python 3.13, and uv could not fetch it", "install Python in that version"},
		{"no uv", func(t *testing.T, f *faulty) { f.environ = []string{"PATH=" + f.pathOf(t, "git")} }, `"uv": executable file not found`, "install uv"},
		{"an index that is down", index(closedPort()), "Connection refused", "UV_DEFAULT_INDEX"},
		{"an index with another name", index("http://index.invalid"), "", "check the runner's network"},
		{"an index that wants credentials", index(server.URL + "/401"), "401 Unauthorized", "and its credentials"},
		{"an index without the package", index(server.URL + "/404"), "404 Not Found", "lacks what the SDK needs"},
		{"an index that never answers", func(t *testing.T, f *faulty) {
			address, _ := silentServer(t)
			index("http://"+address)(t, f)
			f.environ = append(f.environ, "UV_HTTP_TIMEOUT=1")
		}, "http://127.0.0.1:", "check the runner's network"},
		{"a broken index", index(server.URL + "/503"), "503 Service Unavailable", "try again later"},
		{"an index that is not trusted", index(secure), "certificate", "SSL_CERT_FILE"},
		{"a full disk for the environment", func(_ *testing.T, f *faulty) { f.checkout.Dir = filepath.Join(full, "venv") }, "No space left on device", "free disk space"},
		{
			"a full disk for the cache", func(_ *testing.T, f *faulty) {
				f.environ = append(f.environ, "UV_CACHE_DIR="+filepath.Join(full, "cache"))
			},
			"o space left on device", "free disk space",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFaulty(t, sdk)
			c.make(t, f)
			var log bytes.Buffer
			_, err := f.checkout.Environment(t.Context(), Commands{Environ: f.environ, Log: &log, LogPath: "set-up.log"}, SDKPackage)
			checkSetupError(t, err, log.String(), c.cause, c.hint)
		})
	}
	t.Run("a full disk for the checkout", func(t *testing.T) {
		// Room for git's own folder, but not for the SDK.
		if err := os.Truncate(filepath.Join(full, "filler"), 4096); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		_, err := Clone(t.Context(), source, filepath.Join(full, "sdk"), Commands{Environ: os.Environ(), Log: &log, LogPath: "set-up.log"})
		checkSetupError(t, err, log.String(), "No space left on device", "free disk space")
	})
	t.Run("a repository without a name", func(t *testing.T) {
		var log bytes.Buffer
		_, err := Clone(t.Context(), Source{"https://git.invalid/x.git", "main"}, t.TempDir(), Commands{Environ: os.Environ(), Log: &log, LogPath: "set-up.log"})
		checkSetupError(t, err, log.String(), "git.invalid", "check the runner's network")
	})
}

// faulty is a copy of a checkout, and what uv is run with there.
type faulty struct {
	checkout Checkout
	environ  []string
}

// newFaulty has an empty cache, and no patience with servers.
func newFaulty(t *testing.T, of Checkout) *faulty {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-a", of.Root, filepath.Join(dir, "sdk")).CombinedOutput(); err != nil {
		t.Fatalf("copying the checkout: %v\n%s", err, out)
	}
	of.Dir, of.Root = dir, filepath.Join(dir, "sdk")
	return &faulty{of, []string{"PATH=" + os.Getenv("PATH"), "UV_CACHE_DIR=" + filepath.Join(dir, "cache"), "UV_HTTP_RETRIES=0"}}
}

func (f *faulty) replace(t *testing.T, file, pattern, by string) {
	t.Helper()
	path := filepath.Join(f.checkout.Root, file)
	text := readFile(t, path)
	changed := regexp.MustCompile(pattern).ReplaceAllLiteralString(text, by)
	if changed == text {
		t.Fatalf("%s has nothing like %s", file, pattern)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f *faulty) remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(f.checkout.Root, file)); err != nil {
		t.Fatal(err)
	}
}

// pathOf is a PATH on which there are only these programs.
func (f *faulty) pathOf(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, program))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fullDisk is a folder on a disk without room for anything but empty files and folders.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("EVAL_IMAGES_SMALL_DISK")
	file, err := os.Create(filepath.Join(dir, "filler"))
	if dir == "" || err != nil {
		t.Fatalf("EVAL_IMAGES_SMALL_DISK is %q: %v", dir, err)
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return dir
}
