package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// process is one run of the program in a runner, with a folder of its own for all that it writes, and one in memory.
type process struct {
	*exec.Cmd
	dir, memory string
}

func newProcess(t *testing.T, name string, args ...string) process {
	t.Helper()
	// Where this test runs under nohup, the program would inherit that SIGHUP is ignored. A signal that is caught here has its
	// default in the program.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	ids, err := dataset.Embedded("princeton-nlp/SWE-bench_Verified", "test")
	if err != nil {
		t.Fatal(err)
	}
	hub := hubtest.New(t)
	hub.Add("princeton-nlp/SWE-bench_Verified", hubtest.Whole(t, "test", ids))
	memory, err := os.MkdirTemp("/dev/shm", "eval-images-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	p := process{exec.Command(name, args...), t.TempDir(), memory}
	for _, folder := range []string{"tmp", "ws"} {
		if err := os.Mkdir(filepath.Join(p.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.Dir = filepath.Join(p.dir, "ws")
	p.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + filepath.Join(p.dir, "tmp"),
		"HF_ENDPOINT=" + hub.URL, "XDG_RUNTIME_DIR=" + memory,
		"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + p.Dir, "GITHUB_OUTPUT=" + filepath.Join(p.dir, "output"),
		"GITHUB_STEP_SUMMARY=" + filepath.Join(p.dir, "summary.md"), "GITHUB_STATE=" + filepath.Join(p.dir, "state"),
	}
	return p
}

// unread is a pipe whose reader has gone.
func unread(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	t.Cleanup(func() { writer.Close() })
	return writer
}

// records are the texts of the files that a run leaves, by name.
func (p process) records(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	folder := filepath.Join(p.Dir, "builds/princeton-nlp/SWE-bench_Verified/test")
	for name, path := range map[string]string{
		"ledger": filepath.Join(folder, "manifest.jsonl"), "summary": filepath.Join(folder, "build-summary.json"),
		"lock file": filepath.Join(folder, "images.lock.json"),
		"outputs":   filepath.Join(p.dir, "output"), "step summary": filepath.Join(p.dir, "summary.md"),
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		texts[name] = string(text)
	}
	return texts
}

// holding are the files below a folder that hold a text.
func holding(t *testing.T, folder, text string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil
		}
		content, _ := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// status is a line of /proc/<pid>/status; empty for a process that has ended, also where nobody has waited for it yet.
func status(pid int, line string) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if found := regexp.MustCompile(`(?m)^` + line + `:\s*(.*)$`).FindSubmatch(text); found != nil && !bytes.Contains(text, []byte("\nState:\tZ")) {
		return string(found[1])
	}
	return ""
}

// below are the processes that pid has started, and those that they have.
func below(pid int) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range all {
		child, _ := strconv.Atoi(filepath.Base(path))
		if status(child, "PPid") == strconv.Itoa(pid) {
			pids = append(append(pids, child), below(child)...)
		}
	}
	return pids
}

// ignores tells whether a process ignores a signal. running is false for one that has ended.
func ignores(pid int, signal syscall.Signal) (ignored, running bool) {
	mask, err := strconv.ParseUint(status(pid, "SigIgn"), 16, 64)
	return mask&(1<<(signal-1)) != 0, err == nil
}

// The credentials of a run are in memory while it runs, and gone when it was told to end. No child process ignores SIGPIPE.
// TestSignalsInEachPhase has the other signals, and what else a run leaves.
func TestCredentialsOfACancelledRun(t *testing.T) {
	p, log := startHanging(t, "eval-images")
	children := below(p.Process.Pid)
	login := base64.StdEncoding.EncodeToString([]byte("u:secret"))
	if files := holding(t, p.memory, login); len(children) == 0 || len(files) == 0 {
		t.Fatalf("child processes %v, credentials in %v: there is nothing to clean up", children, files)
	}
	if files := holding(t, p.dir, login); len(files) > 0 {
		t.Errorf("credentials on a disk: %v", files)
	}
	for _, child := range children {
		if ignored, _ := ignores(child, syscall.SIGPIPE); ignored {
			t.Errorf("%s ignores SIGPIPE", status(child, "Name"))
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(t, 130, log)
	if left, err := os.ReadDir(p.memory); err != nil || len(left) > 0 {
		t.Errorf("credentials are left: %v, %v", left, err)
	}
}

// nohup's SIGHUP stays ignored.
func TestNohup(t *testing.T) {
	p, log := startHanging(t, "nohup", "eval-images")
	if ignored, running := ignores(p.Process.Pid, syscall.SIGHUP); !ignored || !running {
		t.Error("the run that nohup started does not ignore SIGHUP")
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(t, 130, log)
}

// startHanging starts a run, and returns when its git waits for a server that never answers.
func startHanging(t *testing.T, command ...string) (process, *bytes.Buffer) {
	t.Helper()
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // ends a git that is left
		server.Close()
	})
	args := append(command[1:], "--sdk-repository", server.URL+"/sdk.git", "--sdk-ref", "v1.58.2", "--builder", "b",
		"--instance-ids", "django__django-11133", "--registry-username", "u", "--registry-password", "secret")
	p, log := newProcess(t, command[0], args...), &bytes.Buffer{}
	p.wrapGit(t)
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	select {
	case <-asked:
	case <-time.After(time.Minute):
		_ = p.Process.Kill()
		t.Fatalf("git asks nobody: %v\n%s", p.Wait(), log)
	}
	return p, log
}

// wrapGit puts a shell between the run and git: git itself takes no ignored SIGPIPE over (git/git, common-main.c).
func (p process) wrapGit(t *testing.T) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + git + " \"$@\"\nexit $?\n"
	if err := os.WriteFile(filepath.Join(p.dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p.Env[0] = "PATH=" + p.dir + ":" + os.Getenv("PATH")
}

func (p process) ends(t *testing.T, code int, log *bytes.Buffer) {
	t.Helper()
	_ = p.Wait()
	if got := p.ProcessState.ExitCode(); got != code {
		t.Errorf("it ends with %v, want exit status %d:\n%s", p.ProcessState, code, log)
	}
}

// The deadline ends a run wherever it hangs, with a complete record.
func TestDeadlineDuringSetUp(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(func() {
		silent.CloseClientConnections()
		silent.Close()
	})
	cases := []struct {
		name, hub, says string
		want            map[string]string // what each file of the record has
	}{
		{"git hangs", "", "cloning ", map[string]string{
			"ledger": `"error_class":"not-started"`, "summary": `"stopped_for_deadline": true`, "list": "django__django-11133\n",
			"step summary": "## ❌ Stopped for the deadline of 2.0s: 1 of 1 image is missing: 1 not started\n",
		}},
		{"the hub hangs", silent.URL, "reading the dataset ", map[string]string{
			"summary": `"stopped_for_deadline": true`, "step summary": "## ❌ Stopped for the deadline of 2.0s",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, log := newProcess(t, "eval-images", "--sdk-repository", silent.URL+"/sdk.git", "--sdk-ref", "v1.58.2", "--builder", "b",
				"--instance-ids", "django__django-11133", "--deadline", "2s", "--fail-on", "never"), &bytes.Buffer{}
			if c.hub != "" {
				p.Env = append(p.Env, "HF_ENDPOINT="+c.hub)
			}
			p.Stdout, p.Stderr = log, log
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			p.ends(t, 1, log)
			records := p.records(t)
			list, err := os.ReadFile(filepath.Join(p.Dir, "builds/princeton-nlp/SWE-bench_Verified/test/failed.txt"))
			if records["list"] = string(list); (err == nil) != (c.want["list"] != "") {
				t.Errorf("the list of missing images: %q, %v", list, err)
			}
			for name, want := range c.want {
				if !strings.Contains(records[name], want) {
					t.Errorf("%s does not have %s:\n%s", name, want, records[name])
				}
			}
			if said := log.String(); !strings.Contains(said, c.says) || !strings.Contains(said, "the run's deadline was reached") {
				t.Errorf("it does not say what it was at:\n%s", said)
			}
			if left, err := os.ReadDir(filepath.Join(p.dir, "tmp")); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		})
	}
}

// Who stops reading, as head does, changes neither what a run does nor its exit code.
func TestReaderThatLeaves(t *testing.T) {
	run := []string{"--sdk-ref", "v1.58.2", "--builder", "b", "--instance-ids", "django__django-11133"}
	cases := []struct {
		name   string
		args   []string
		code   int
		record bool
	}{
		{"a run", append(run, "--shard", "2/2"), 0, true},
		{"a bad input", append(run, "--max-workers", "0"), 2, false},
		{"a failed set-up", append(run, "--sdk-repository", "file:///nowhere"), 3, true},
		{"a plan", []string{"--dry-run", "--n-limit", "3"}, 0, false},
		{"a plan in JSON", []string{"--dry-run", "--n-limit", "3", "--format", "json"}, 0, false},
		{"help", []string{"--help"}, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newProcess(t, "eval-images", c.args...)
			gone := unread(t)
			p.Stdout, p.Stderr = gone, gone
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			p.ends(t, c.code, &bytes.Buffer{})
			if c.record {
				p.records(t)
			}
			if left, err := os.ReadDir(filepath.Join(p.dir, "tmp")); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		})
	}
}
