package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestEngineRestarts kills an engine in the middle of a build on the command line. The registry is outside of that engine, which is
// started again half a minute later, without its containers, when the next attempt waits for it already. The run starts the builder that
// it was given, and completes.
func TestEngineRestarts(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	node, id := e.startBuilder(t, "given"), instances(t, 1)[0]
	made := e.docker(t, "inspect", "--format", "{{.Id}}", node)
	s := step(t, repository(t), []string{id}, smallest)
	s.Inputs["builder"] = "given"
	run := startCommandLine(t, s, "--volume", e.folder+":/engine", "--env", "DOCKER_HOST=unix:///engine/docker.sock")
	waitForStep(t, s.Workspace, id, "base-image-minimal")
	docker(t, "exec", e.container, "sh", "-c", "kill -KILL $(cat /var/run/docker.pid)")
	got := run.wait(t)
	checkOutputs(t, got, 0, nil)
	built := ledger(t, s.Workspace, got)[id]
	if len(built.Tags) == 0 {
		t.Fatalf("the image was not built: %+v", built)
	}
	if there := digestInRegistry(t, strings.TrimPrefix(s.Inputs["image"], lab["LAB_REGISTRY_INSIDE"]+"/"), tagOf(built.Tags[0])); there != built.Digest || there == "" {
		t.Errorf("the registry has %q, the ledger says %+v", there, built)
	}
	if built.Attempts != 2 {
		t.Errorf("%d attempts; want one that failed, and one that succeeded", built.Attempts)
	}
	for _, text := range []string{"engine-gone: ", "The builder given had ended; it was started again."} {
		if !strings.Contains(got.Log, text) {
			t.Errorf("the log does not say %q", text)
		}
	}
	if now := e.docker(t, "inspect", "--format", "{{.Id}}", node); now != made {
		t.Errorf("the builder's container was %s, and is %s", made, now)
	}
}

// otherEngine is a Docker Engine in a container of the lab's. Its containers are on the network of that container.
type otherEngine struct {
	container string
	folder    string // with its socket
}

// startEngine starts an engine that starts again half a minute after it has ended. It runs containers as the lab's engine does.
func startEngine(t *testing.T) otherEngine {
	t.Helper()
	dir, image := t.TempDir(), "eval-images-lab/engine"
	write(t, "FROM debian:13.7-slim\nRUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes "+
		"--no-install-recommends docker.io docker-cli iptables tini && rm -rf /var/lib/apt/lists/*\n", dir, "Dockerfile")
	docker(t, "build", "--quiet", "--tag", image, dir)
	e := otherEngine{"e2e-engine-" + strconv.FormatInt(time.Now().Unix(), 10), t.TempDir()}
	t.Cleanup(func() { command("docker", "rm", "--force", "--volumes", e.container) })

	args := []string{
		"run", "--detach", "--privileged", "--name", e.container, "--network", lab["LAB_NETWORK"],
		"--volume", "/var/lib/docker", "--volume", e.folder + ":/engine",
	}
	dockerd := "dockerd --host unix:///engine/docker.sock --host unix:///var/run/docker.sock"
	if name, path := labRuntime(t); path != "" {
		args = append(args, "--volume", path+":"+path+":ro")
		dockerd += " --add-runtime " + name + "=" + path + " --default-runtime " + name
	}
	docker(t, append(args, "--entrypoint", "tini", image, "--", "sh", "-c",
		"while :; do rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid; "+dockerd+"; sleep 30; done")...)
	e.await(t, "version")
	load := exec.CommandContext(t.Context(), "sh", "-c", "docker save moby/buildkit:buildx-stable-1 | docker exec --interactive "+e.container+" docker load")
	if said, err := load.CombinedOutput(); err != nil {
		t.Fatalf("loading BuildKit: %v: %s", err, said)
	}
	return e
}

// labRuntime is the runtime that the lab's engine has in the place of runc, if it has one.
func labRuntime(t *testing.T) (name, path string) {
	t.Helper()
	var runtimes map[string]struct{ Path string }
	if err := json.Unmarshal([]byte(docker(t, "info", "--format", "{{json .Runtimes}}")), &runtimes); err != nil {
		t.Fatal(err)
	}
	name = docker(t, "info", "--format", "{{.DefaultRuntime}}")
	if path = runtimes[name].Path; !filepath.IsAbs(path) {
		return "", ""
	}
	return name, path
}

func (e otherEngine) docker(t *testing.T, args ...string) string {
	t.Helper()
	return docker(t, append([]string{"exec", e.container, "docker"}, args...)...)
}

// await repeats a docker command until it succeeds.
func (e otherEngine) await(t *testing.T, args ...string) {
	t.Helper()
	for range 120 {
		if _, err := command("docker", append([]string{"exec", e.container, "docker"}, args...)...); err == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("the other engine does not answer:\n%s", docker(t, "logs", "--tail", "20", e.container))
}

// startBuilder starts a BuildKit that a run can adopt by this name, and that the engine does not start again by itself. It returns the
// name of the container.
func (e otherEngine) startBuilder(t *testing.T, name string) string {
	t.Helper()
	node := "buildx_buildkit_" + name + "0"
	write(t, labConfig(t), e.folder, "buildkitd.toml")
	docker(t, "exec", e.container, "docker", "run", "--detach", "--privileged", "--name", node, "--network", "host",
		"--volume", node+"_state:/var/lib/buildkit", "--volume", "/engine/buildkitd.toml:/etc/buildkit/buildkitd.toml:ro", "moby/buildkit:buildx-stable-1")
	e.await(t, "exec", node, "buildctl", "debug", "workers")
	return node
}

// waitForStep waits until a build has come to a step.
func waitForStep(t *testing.T, workspace, id, step string) {
	t.Helper()
	for range 900 {
		for _, path := range filesNamed(t, workspace, id+".log") {
			if said, err := os.ReadFile(path); err == nil && strings.Contains(string(said), "["+step) {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the build of %s does not come to %s", id, step)
}

func filesNamed(t *testing.T, root, name string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == name {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
