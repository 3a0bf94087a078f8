package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// TestSetupFaults: each fault ends the run with code 3, and log and summary say what failed, what to do, and which file
// has more.
func TestSetupFaults(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name        string
		make        func(*testing.T, *runner.Step)
		cause, hint string
		noLog       bool // there is none yet
	}{
		{
			"a private repository", func(t *testing.T, s *runner.Step) { s.Inputs["sdk-repository"] = privateRepository(t) },
			"Authentication failed", "wants credentials", false,
		},
		{"a repository that is not there", func(_ *testing.T, s *runner.Step) {
			s.Inputs["sdk-repository"] = strings.Replace(lab["LAB_SDK_REPOSITORY_INSIDE"], "software-agent-sdk", "no-such-repository", 1)
		}, "not found", "check sdk-repository", false},
		{
			"no network", func(_ *testing.T, s *runner.Step) { s.Inputs["sdk-repository"] = "http://127.0.0.1:1/x.git" },
			"Failed to connect", "network", false,
		},
		{"a lock that uv cannot read", func(t *testing.T, s *runner.Step) {
			sdk := checkedOut(t, s)
			replace(t, `(?m)^version = 1$`, "version = 99", sdk, "uv.lock")
			git(t, sdk, "commit", "--quiet", "--all", "--message", "a lock of the future")
		}, "unsupported schema version", "this uv cannot read", false},
		{"a package index that is down", func(_ *testing.T, s *runner.Step) {
			s.Env = map[string]string{"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple", "UV_HTTP_RETRIES": "0"}
			s.Packages = "" // or the index would not be asked
		}, "Connection refused", "UV_DEFAULT_INDEX", false},
		{
			"no Python", func(t *testing.T, s *runner.Step) {
				s.Image = derived(t, "no-python", "RUN rm /usr/bin/python3.13")
				s.Env = map[string]string{"UV_PYTHON_DOWNLOADS_JSON_URL": "http://127.0.0.1:1/downloads.json", "UV_HTTP_RETRIES": "0"}
			},
			"this machine has no Python 3.13, and uv could not fetch it", "install Python in that version", false,
		},
		{
			"no uv", func(t *testing.T, s *runner.Step) { s.Image = derived(t, "no-uv", "RUN rm /usr/local/bin/uv") },
			"executable file not found", "install uv", false,
		},
		{"a disk that gets full", func(t *testing.T, s *runner.Step) { fillDisk(t, s, "66000000") }, "No space left on device", "free disk space", false},
		{"a full disk", func(t *testing.T, s *runner.Step) { fillDisk(t, s, "80000000") }, "no space left on device", "free disk space", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := step(t, repository(t), instances(t, 1), nil)
			c.make(t, &s)
			got := start(t, s).Wait()
			checkOutputs(t, got, 3, map[string]string{"total": "1", "built": "0"})
			const logPath = "builds/princeton-nlp/SWE-bench_Verified/test/logs/set-up.log"
			wanted := []string{c.cause, "hint: ", c.hint, "the whole output is in " + logPath}
			if c.noLog {
				wanted = wanted[:3]
			} else if log, err := os.ReadFile(filepath.Join(s.Workspace, logPath)); err != nil || !strings.Contains(string(log), c.cause) {
				t.Errorf("the set-up's log does not tell the cause %q (%v):\n%s", c.cause, err, log)
			}
			for _, want := range wanted {
				for where, text := range map[string]string{"log": got.Log, "summary": unescaped(got.Summary)} {
					if !strings.Contains(text, want) {
						t.Errorf("the %s lacks %q:\n%s", where, want, text)
					}
				}
			}
		})
	}
}

// unescaped resolves the character references in Markdown.
func unescaped(markdown string) string {
	for reference, character := range map[string]string{"&#95;": "_", "&#96;": "`", "&#58;": ":", "&#91;": "[", "&#93;": "]"} {
		markdown = strings.ReplaceAll(markdown, reference, character)
	}
	return markdown
}

// privateRepository returns the URL of a git server on the lab's network that wants a password.
func privateRepository(t *testing.T) string {
	t.Helper()
	const refuse = `
from http.server import *
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=private")
        self.end_headers()
HTTPServer(("", 8000), Handler).serve_forever()`
	server := docker(t, "run", "--detach", "--rm", "--network", lab["LAB_NETWORK"], "--entrypoint", "python3", lab["LAB_ACTION_IMAGE"], "-c", refuse)
	t.Cleanup(func() { command("docker", "rm", "--force", server) })
	return "http://" + server[:12] + ":8000/private.git" // An engine gives each container's id a name in the network.
}

// checkedOut puts the SDK into a step's workspace, as a workflow's checkout does, and has the step use it.
func checkedOut(t *testing.T, s *runner.Step) (sdk string) {
	t.Helper()
	sdk = filepath.Join(s.Workspace, "sdk")
	git(t, s.Workspace, "clone", "--quiet", "--depth=1", "--branch", lab["LAB_SDK_REF"], lab["LAB_SDK_REPOSITORY"], sdk)
	usePath(s, "sdk")
	return sdk
}

func usePath(s *runner.Step, path string) {
	delete(s.Inputs, "sdk-ref")
	delete(s.Inputs, "sdk-repository")
	s.Inputs["sdk-path"] = path
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	identity := []string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "safe.directory=*", "-c", "advice.detachedHead=false"}
	out, err := command("git", append(identity, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// replace replaces text in a file.
func replace(t *testing.T, pattern, by string, path ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	changed := regexp.MustCompile(pattern).ReplaceAllLiteralString(string(text), by)
	if changed == string(text) {
		t.Fatalf("%s has nothing like %s", filepath.Join(path...), pattern)
	}
	write(t, changed, path...)
}

// fillDisk puts the run's temporary files on a disk of 64 MiB, the container's /dev/shm, of which that many bytes are
// used.
func fillDisk(t *testing.T, s *runner.Step, bytes string) {
	t.Helper()
	// A shell alone will not do: Debian's drops the variables of inputs, whose names have hyphens.
	s.Image = derived(t, "full-disk", `ENTRYPOINT ["python3", "-c", "import os; os.system('head -c $FILL /dev/zero >/dev/shm/filler'); `+
		`os.execvp('tini', ['tini', '--', '/eval-images'])"]`)
	s.Env = map[string]string{"TMPDIR": "/dev/shm", "FILL": bytes}
}
