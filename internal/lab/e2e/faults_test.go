package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// waitFor waits until the run's log has text.
func waitFor(t *testing.T, run *runner.Run, text string) {
	t.Helper()
	for range 1500 {
		said, err := command("docker", "logs", run.Container)
		if err == nil && strings.Contains(said, text) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("the log does not come to %q", text)
}

// TestCancel cancels a run during the builds, as a runner does.
func TestCancel(t *testing.T) {
	s := step(t, repository(t), instances(t, 12), native)
	run := start(t, s)
	waitFor(t, run, "[ 1/12] ")
	ended := deathOf(t, run.Container)
	begin := time.Now()
	run.Cancel()
	got := run.Wait()
	// The action's own end, because the docker command waits until the engine has removed the container.
	if death := <-ended; death.at.Sub(begin) > 8*time.Second || death.exitCode != "130" {
		t.Errorf("the action ended %s after the signal with %s, want at most 8 s and 130", death.at.Sub(begin), death.exitCode)
	}
	if got.Conclusion != "cancelled" {
		t.Errorf("the step's conclusion is %s", got.Conclusion)
	}
	if !strings.Contains(got.Summary, "ancelled") || got.Outputs["total"] != "12" || got.Outputs["lock-file"] == "" {
		t.Errorf("outputs %v and summary do not tell of the cancel:\n%s", got.Outputs, got.Summary)
	}
	classes := map[string]int{}
	for _, line := range ledger(t, s.Workspace, got) {
		classes[line.ErrorClass]++
	}
	if classes["cancelled"] == 0 || classes[""] == 0 || classes["cancelled"]+classes[""] != 12 {
		t.Errorf("the ledger's lines by error class are %v; want 12, some cancelled and none otherwise failed", classes)
	}
	for range 60 { // until the engine has removed the container
		if docker(t, "ps", "--all", "--quiet", "--filter", "name="+run.Container) == "" {
			break
		}
		time.Sleep(time.Second)
	}
	if left := docker(t, "ps", "--all", "--quiet", "--filter", "name="+run.Container); left != "" {
		t.Errorf("the action's container is left: %s", left)
	}
	if running := docker(t, "inspect", "--format", "{{.State.Running}}", "buildx_buildkit_"+lab["LAB_BUILDER"]+"0"); running != "true" {
		t.Error("the adopted builder does not run any more")
	}
}

type death struct {
	at       time.Time
	exitCode string
}

// deathOf returns the time at which a container's process ended, from the engine's events.
func deathOf(t *testing.T, container string) <-chan death {
	t.Helper()
	since := fmt.Sprint(time.Now().Unix())
	ended := make(chan death, 1)
	go func() {
		// docker events ends at --until; the first line is the death.
		until := fmt.Sprint(time.Now().Add(30 * time.Second).Unix())
		said, _ := command("docker", "events", "--since", since, "--until", until, "--filter", "container="+container,
			"--filter", "event=die", "--format", `{{.TimeNano}} {{index .Actor.Attributes "exitCode"}}`)
		var nano int64
		d := death{at: time.Now(), exitCode: "none"}
		if _, err := fmt.Sscan(said, &nano, &d.exitCode); err == nil {
			d.at = time.Unix(0, nano)
		}
		ended <- d
	}()
	return ended
}

// TestWorkerDies kills a worker in the middle of its build. Its image takes another attempt; the others are not
// affected.
func TestWorkerDies(t *testing.T) {
	s := step(t, repository(t), instances(t, 4), map[string]string{"max-workers": "1", "strategy": "native"})
	run := start(t, s)
	waitFor(t, run, "[1/4] ")
	const kill = `import os, glob
for path in glob.glob("/proc/[0-9]*/cmdline"):
    if "/worker.py\0" in open(path).read():
        os.kill(int(path.split("/")[2]), 9)`
	docker(t, "exec", run.Container, "python3", "-c", kill)
	got := run.Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "4", "failed": "0", "retried": "1"})
	if !strings.Contains(got.Log, "attempt 1 failed, retrying in") || !strings.Contains(got.Log, "worker-died: ") {
		t.Error("the log does not tell of the attempt that failed, and why")
	}
	for id, line := range ledger(t, s.Workspace, got) {
		if line.Attempts == 1 {
			continue
		}
		log, err := os.ReadFile(filepath.Join(s.Workspace, line.LogPath))
		if parts := strings.Count(string(log), "[eval-images] ======== attempt "); err != nil || line.Attempts != 2 || parts != 2 {
			t.Errorf("%s took %d attempts, and its log has %d (%v); want 2", id, line.Attempts, parts, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	id := instances(t, 1)[0]
	s := step(t, repository(t), []string{id}, map[string]string{"image-timeout": "1s", "sdk-repository": "file:///github/workspace/sdk"})
	changeSDK(t, filepath.Join(s.Workspace, "sdk"), "sleep 60") // with all in its cache a build takes a second
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"failed": "1"})
	if line := ledger(t, s.Workspace, got)[id]; line.ErrorClass != "timeout" || line.Attempts != 2 || !strings.Contains(line.Error, "image-timeout") {
		t.Errorf("class %q, %d attempts, error %q; want timeout, 2, and the input's name", line.ErrorClass, line.Attempts, line.Error)
	}
}

// TestFaultsOfTheWhole: faults that end a run before a build, with exit code and message.
func TestFaultsOfTheWhole(t *testing.T) {
	t.Parallel()
	private := privateRegistry(t)
	cases := []struct {
		name   string
		inputs map[string]string
		image  string // of the action, where it is not the usual one
		code   int
		says   []string
	}{
		{"no such ref", map[string]string{"sdk-ref": "v1.58.3"}, "", 2, []string{`"v1.58.3"`, "hint: the newest release there is sdk-ref: v1.58.2"}},
		{
			"no such option",
			map[string]string{"sdk-options": "install_acp_provider="},
			"", 2,
			[]string{"install_acp_provider", "hint: ", "install_acp_providers"},
		},
		{"an option that is the action's own", map[string]string{"sdk-options": "custom_tags=x"}, "", 2, []string{"custom_tags"}},
		{"no such builder", map[string]string{"builder": "nobody"}, "", 3, []string{`"nobody"`, "hint: ", lab["LAB_BUILDER"]}},
		{"no buildkitd at the address", map[string]string{"builder": "tcp://127.0.0.1:1"}, "", 3, []string{"tcp://127.0.0.1:1", "hint: "}},
		{"no socket", nil, derived(t, "no-socket", "ENV DOCKER_HOST=unix:///nowhere.sock"), 3, []string{"/nowhere.sock", "hint: "}},
		{
			"wrong credentials",
			map[string]string{"image": private + "/a/b", "registry-username": "me", "registry-password": "wr0ng"},
			"", 3,
			[]string{"401", "hint: check registry-username"},
		},
		{"no registry there", map[string]string{"image": "nobody.local:5000/a/b"}, "", 3, []string{"nobody.local:5000", "hint: "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := step(t, repository(t), instances(t, 1), c.inputs)
			s.Image = cmp.Or(c.image, s.Image)
			got := start(t, s).Wait()
			checkOutputs(t, got, c.code, map[string]string{"built": "0"})
			for _, text := range c.says {
				if !strings.Contains(got.Log, text) {
					t.Errorf("the log does not say %q", text)
				}
			}
			if strings.Contains(got.Log+got.Summary, "wr0ng") {
				t.Error("the password is shown")
			}
		})
	}
}

// privateRegistry is a registry with a password that nobody knows, because it generates it itself.
func privateRegistry(t *testing.T) string {
	t.Helper()
	container := docker(t, "run", "--detach", "--rm", "--network", lab["LAB_NETWORK"], "--network-alias", "private.local",
		"--env", "REGISTRY_AUTH=htpasswd", "--env", "REGISTRY_AUTH_HTPASSWD_REALM=lab", "--env", "REGISTRY_AUTH_HTPASSWD_PATH=/tmp/htpasswd",
		registryImage(t))
	t.Cleanup(func() { command("docker", "rm", "--force", container) })
	return "private.local:5000"
}

// registryImage is the image of the lab's registry.
func registryImage(t *testing.T) string {
	t.Helper()
	for name := range strings.FieldsSeq(docker(t, "ps", "--format", "{{.Image}}")) {
		if strings.HasPrefix(name, "registry:") {
			return name
		}
	}
	t.Fatal("the lab's registry does not run")
	return ""
}
