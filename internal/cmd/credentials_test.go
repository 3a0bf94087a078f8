package cmd

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Each registry gets the login for what is in it. Two logins for one registry are a mistake, because docker has room for one.
func TestEachRegistryGetsItsLogin(t *testing.T) {
	image, base, none := config.Credentials{Username: "image", Password: "i"}, config.Credentials{Username: "base", Password: "b"}, config.Credentials{}
	cases := []struct {
		name     string
		image    config.Credentials
		base     config.Credentials
		bases    string
		want     string // the users, by image
		conflict bool
	}{
		{"two registries", image, base, "docker.io/a/b:1", "ghcr.io/o/i=image docker.io/a/b:1=base", false},
		{"base images at two registries", image, base, "docker.io/a/b:1 quay.io/a/b:2 a/c:3", "ghcr.io/o/i=image a/c:3=base quay.io/a/b:2=base", false},
		{"base images there and at the registry of image", image, base, "ghcr.io/o/b:1 quay.io/a/b:2", "ghcr.io/o/i=image quay.io/a/b:2=base", false},
		{"one registry, one login", image, none, "ghcr.io/o/b:1", "ghcr.io/o/i=image", false},
		{"one registry, the same login twice", image, image, "ghcr.io/o/b:1", "ghcr.io/o/i=image", false},
		{"one registry, the login of base images", none, base, "ghcr.io/o/b:1", "ghcr.io/o/i=base", false},
		{"one registry, two logins", image, base, "ghcr.io/o/b:1 ghcr.io/o/b:2", "", true},
		{"no images", image, base, "", "ghcr.io/o/i=image", false},
		{"anonymous", none, none, "docker.io/a/b:1", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var targets []plan.Target
			for _, name := range strings.Fields(c.bases) {
				targets = append(targets, plan.Target{BaseImage: name})
			}
			all, err := logins(config.Config{Image: "ghcr.io/o/i", Registry: c.image, BaseRegistry: c.base}, targets)
			var got []string
			for _, login := range all {
				got = append(got, login.Reference+"="+login.Username)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("logins (-want +got):\n%s", diff)
			}
			var wrong *config.InputError
			if errors.As(err, &wrong) != c.conflict {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// The mistake ends the run before anything is asked or written.
func TestTwoLoginsForOneRegistryAreABadInput(t *testing.T) {
	var said bytes.Buffer
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d.jsonl"), `{"instance_id": "x__y-1"}`)
	code := Run(t.Context(), Process{Stdout: &said, Dir: dir, Args: []string{
		"--sdk-ref", "v1.58.2", "--dataset", "d.jsonl", "--image", "r.test/o/i", "--base-image-template", "r.test/bases:{instance_id}",
		"--registry-username", "u", "--registry-password", "s3cret1", "--base-registry-username", "v", "--base-registry-password", "s3cret2",
	}})
	if text := said.String(); code != ExitBadInput || !strings.Contains(text, "base-registry-username: the base images are in the registry of image, r.test") ||
		!strings.Contains(text, "hint: leave out base-registry-username") || strings.Contains(text, "s3cret") {
		t.Errorf("exit code %d:\n%s", code, &said)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// memory is a folder of the test's own in memory.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "eval-images-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Credentials are written to memory, in a folder that only this user can read.
func TestCredentialsAreInMemory(t *testing.T) {
	dir := memory(t)
	folder, lock, err := makeDockerConfig(environment{"XDG_RUNTIME_DIR=" + dir}, "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		t.Errorf("%s is on a file system of type %x, %v", folder, s.Type, err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode() != fs.ModeDir|0o700 || filepath.Dir(folder) != dir {
		t.Errorf("%s: %v, %v", folder, info, err)
	}
	// A folder on a disk is no place for them, whatever variable names it.
	disk := t.TempDir()
	folder, lock, err = makeDockerConfig(environment{"XDG_RUNTIME_DIR=" + disk}, disk)
	if err != nil || strings.HasPrefix(folder, disk) {
		t.Errorf("%s, %v", folder, err)
	}
	defer os.RemoveAll(folder)
	lock.Close()
}

// What a killed run has left in memory is removed by the next run on that machine; what another run uses is not.
func TestCredentialsOfKilledRunsAreRemoved(t *testing.T) {
	dir := memory(t)
	env := environment{"XDG_RUNTIME_DIR=" + dir}
	running, lock, err := makeDockerConfig(env, "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	killed, lock, err := makeDockerConfig(env, "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()                                                  // as the end of a process does
	begins := filepath.Join(dir, "."+dockerConfigPrefix+"begins") // it has no lock yet
	if err := os.Mkdir(begins, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{killed, running} {
		write(t, filepath.Join(folder, "config.json"), "x")
	}
	_, next, err := makeDockerConfig(env, "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	for folder, want := range map[string]bool{killed: false, running: true, begins: true} {
		if _, err := os.Stat(folder); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", folder, err == nil, want)
		}
	}
}

// The post step removes the credentials of a run that was killed, and nothing else that the state could name.
func TestPostStepRemovesCredentials(t *testing.T) {
	cases := map[string]bool{dockerConfigPrefix + "1": true, "theirs": false}
	for name, removed := range cases {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, "config.json"), "{}")
			var said bytes.Buffer
			code := Post(t.Context(), Process{Stdout: &said, Environ: []string{
				"GITHUB_ACTIONS=true", "INPUT_BUILDER=b", "STATE_" + dockerConfigState + "=" + folder,
			}})
			if _, err := os.Stat(folder); code != ExitOK || (err != nil) != removed {
				t.Errorf("exit code %d, removed: %v, want %v:\n%s", code, err != nil, removed, &said)
			}
		})
	}
}

// The post step finds the folder by what the run has saved.
func TestRunSavesWhereItsCredentialsAre(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	env := environment{"GITHUB_ACTIONS=true", "GITHUB_STATE=" + state, "XDG_RUNTIME_DIR=" + memory(t)}
	work := &workspace{logs: dir}
	if err := work.makeTemporary(env, actions.New(&bytes.Buffer{}, env.get)); err != nil {
		t.Fatal(err)
	}
	if got := states(t, state); len(got) != 1 || got[0] != "STATE_"+dockerConfigState+"="+work.dockerConfig {
		t.Errorf("the run has saved %q, want %s", got, work.dockerConfig)
	}
	if left := work.clean(t.Context()); left != "" {
		t.Error(left)
	}
	if _, err := os.Stat(work.dockerConfig); err == nil {
		t.Error("the credentials are left")
	}
}
