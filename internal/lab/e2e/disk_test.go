package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/go-units"
)

// TestPrune prunes a cache of 60 MB between two images. It uses a builder of its own, because other tests need the
// cache of the lab's. BuildKit reports the size.
func TestPrune(t *testing.T) {
	t.Parallel()
	name := fullBuilder(t)
	before := cacheSize(t, name)
	if before < 60_000_000 {
		t.Fatalf("the cache holds %d bytes, want 60 MB, or this tests nothing", before)
	}
	s := step(t, repository(t), []string{withoutBase, "psf__requests-1142"}, map[string]string{
		"builder": name, "strategy": "native", "max-workers": "1", "batch-size": "1", "prune-threshold-percent": "1", "keep-storage-gb": "0",
	})
	got := start(t, s).Wait()
	checkOutputs(t, got, 1, map[string]string{"failed": "2"})
	if after := cacheSize(t, name); after > before/10 {
		t.Errorf("the cache held %d bytes and holds %d: it was not pruned", before, after)
	}
	if !strings.Contains(got.Log, "disk: freed ") || !strings.Contains(got.Summary, "cache was pruned") {
		t.Errorf("log or summary do not say what was freed:\n%s", got.Summary)
	}
	content, err := os.ReadFile(filepath.Join(s.Workspace, got.Outputs["summary"]))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Run struct {
			Pruned []struct {
				Used  float64 `json:"disk_used_percent"`
				Freed int64   `json:"freed_bytes"`
			}
		}
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		t.Fatal(err)
	}
	pruned := summary.Run.Pruned
	if len(pruned) == 0 || pruned[0].Freed < before*9/10 || pruned[0].Used <= 1 || pruned[0].Used >= 100 {
		t.Errorf("the record of the prunes is %+v; want %d bytes freed by the first", pruned, before)
	}
	if docker(t, "inspect", "--format", "{{.State.Running}}", "buildx_buildkit_"+name+"0") != "true" {
		t.Error("the adopted builder does not run any more")
	}
}

// adoptable makes a builder that a run can adopt. config is a buildkitd.toml, and volume are options of the volume for its root.
func adoptable(t *testing.T, purpose, config string, volume ...string) (name string) {
	t.Helper()
	name = "e2e-" + purpose + "-" + strconv.FormatInt(time.Now().Unix(), 10)
	node := "buildx_buildkit_" + name + "0"
	t.Cleanup(func() {
		command("docker", "rm", "--force", "--volumes", node)
		command("docker", "volume", "rm", "--force", node+"_state")
	})
	docker(t, slices.Concat([]string{"volume", "create"}, volume, []string{node + "_state"})...)
	docker(t, "create", "--privileged", "--name", node, "--network", lab["LAB_NETWORK"],
		"--volume", node+"_state:/var/lib/buildkit", "moby/buildkit:buildx-stable-1")
	folder := filepath.Join(t.TempDir(), "buildkit")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, config, folder, "buildkitd.toml")
	docker(t, "cp", folder, node+":/etc/")
	docker(t, "start", node)
	for range 60 {
		if _, err := command("docker", "exec", node, "buildctl", "debug", "workers"); err == nil {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	return name
}

// fullBuilder makes a builder with 60 MB in its cache.
func fullBuilder(t *testing.T) string {
	t.Helper()
	name := adoptable(t, "prune", "")
	docker(t, "exec", "buildx_buildkit_"+name+"0", "sh", "-c", `mkdir /tmp/context && cd /tmp/context && head -c 60000000 /dev/urandom >blob &&
		printf 'FROM scratch\nCOPY blob /\n' >Dockerfile &&
		buildctl build --frontend dockerfile.v0 --local context=. --local dockerfile=. --output type=tar,dest=/dev/null`)
	return name
}

// heavyDockerfile has images of 400 MB beside their base images.
const heavyDockerfile = `ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS base-image-minimal
USER 0
RUN head -c 400000000 /dev/zero >/ballast
FROM base-image-minimal AS source-minimal
CMD ["/bin/true"]
`

// TestFullDisk builds images on a builder whose disk has room for one of them at a time. Their base images, of one layer for all,
// take 460 MB of it.
func TestFullDisk(t *testing.T) {
	repo := repository(t)
	name := adoptable(t, "full", labConfig(t), "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1000m")
	s := step(t, repo, instances(t, 3), map[string]string{"builder": name, "strategy": "native"})
	sdk := checkedOut(t, &s)
	write(t, heavyDockerfile, sdk, "openhands-agent-server/openhands/agent_server/docker/Dockerfile")
	git(t, sdk, "commit", "--quiet", "--all", "--message", "heavy")
	got := start(t, s).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "3", "failed": "0"})
	if !strings.Contains(got.Log, "found the disk full: pruning the builder's cache, and building it alone") {
		t.Error("no build found the disk full, so this tests nothing")
	}
	if tags := complete(t, repo, map[string]bool{}); tags < 3 {
		t.Errorf("the repository has %d tags, want one for each of 3 images", tags)
	}
}

func cacheSize(t *testing.T, builder string) int64 {
	t.Helper()
	said := docker(t, "exec", "buildx_buildkit_"+builder+"0", "buildctl", "du")
	_, size, found := strings.Cut(said, "Total:")
	n, err := units.FromHumanSize(strings.TrimSpace(size))
	if !found || err != nil {
		t.Fatalf("reading buildctl's table: %v\n%s", err, said)
	}
	return n
}
