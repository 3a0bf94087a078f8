package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Lines that the sdk package's own tests log about real workers, for each way to start them.
var (
	partLine   = regexp.MustCompile(`=== (?:RUN|NAME) +TestRealSDK/[^/]+/(forked|spawned)`)
	importLine = regexp.MustCompile(`import took ([0-9.]+) s`)
	memoryLine = regexp.MustCompile(`after the builds, process \d+ \((\w+)\): (\d+) kB private, (\d+) kB shared`)
)

// workers measures what a worker costs when it is spawned and when it is forked, in the action's image and with the
// real SDK. The sdk package's tests read smaps_rollup after four builds with a docker command that builds nothing.
func (b *bench) workers(ctx context.Context) (table, error) {
	t := table{header: []string{"Workers are", "Imports paid for 2", "Seconds of one", "Private memory of a worker", "Shared", "The seed's own"}}
	said, err := b.sdkTests(ctx)
	if err != nil {
		return t, err
	}
	found := map[string]*workerCost{"forked": {}, "spawned": {}}
	var part *workerCost
	for line := range strings.Lines(said) {
		if m := partLine.FindStringSubmatch(line); m != nil {
			part = found[m[1]]
		}
		if part != nil {
			part.read(line)
		}
	}
	forked, spawned := found["forked"], found["spawned"]
	if len(forked.private["worker"]) == 0 || len(spawned.private["python"]) == 0 {
		return t, fmt.Errorf("the sdk package's tests logged no memory:\n%.2000s", said)
	}
	t.row("spawned", "2", spawned.imported, mebibytes(mean(spawned.private["python"])), mebibytes(mean(spawned.shared["python"])), "")
	t.row("forked", "1", forked.imported, mebibytes(mean(forked.private["worker"])), mebibytes(mean(forked.shared["worker"])),
		mebibytes(mean(forked.private["python"])))
	t.note("A spawned worker has %.1f times the private memory of a forked one.",
		float64(mean(spawned.private["python"]))/float64(mean(forked.private["worker"])))
	return t, nil
}

// workerCost is what the tests log for one way: kB by the name of the process.
type workerCost struct {
	imported        string
	private, shared map[string][]int
}

func (c *workerCost) read(line string) {
	if m := importLine.FindStringSubmatch(line); m != nil {
		c.imported = m[1] + " s"
	}
	m := memoryLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	if c.private == nil {
		c.private, c.shared = map[string][]int{}, map[string][]int{}
	}
	private, _ := strconv.Atoi(m[2]) // the pattern has digits only
	shared, _ := strconv.Atoi(m[3])
	c.private[m[1]], c.shared[m[1]] = append(c.private[m[1]], private), append(c.shared[m[1]], shared)
}

// sdkTests runs the sdk package's tests that log the cost of workers.
func (b *bench) sdkTests(ctx context.Context) (string, error) {
	root, binary := filepath.Dir(b.ActionFile), filepath.Join(b.Workspace, "sdk.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./internal/sdk")
	build.Dir = root
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the sdk package's tests: %w: %s", err, out)
	}
	run := exec.CommandContext(ctx, "docker", "run", "--rm", "--network", b.Values["LAB_NETWORK"], "--init",
		"--volume", binary+":/sdk.test:ro", "--volume", filepath.Join(root, "internal")+":/internal:ro", "--workdir", "/internal/sdk",
		"--env", "EVAL_IMAGES_REAL_SDK=1", "--env", "CI=true", "--env", "LAB_SDK_REFS="+b.Values["LAB_SDK_REF"],
		"--env", "LAB_SDK_REPOSITORY_INSIDE="+b.Values["LAB_SDK_REPOSITORY_INSIDE"],
		"--entrypoint", "/sdk.test", b.Values["LAB_ACTION_IMAGE"], "-test.v",
		"-test.run", "^TestRealSDK$/^"+regexp.QuoteMeta(b.Values["LAB_SDK_REF"])+"$/^(forked|spawned)$/^(describes_itself|names_tags|builds)$")
	var said bytes.Buffer
	run.Stdout, run.Stderr = io.MultiWriter(&said, b.Log), b.Log
	if err := run.Run(); err != nil {
		return "", fmt.Errorf("running the sdk package's tests: %w", err)
	}
	return said.String(), nil
}

func mean(values []int) int {
	if len(values) == 0 {
		return 0
	}
	sum := 0
	for _, v := range values {
		sum += v
	}
	return sum / len(values)
}

func mebibytes(kB int) string { return fmt.Sprintf("%.1f MiB", float64(kB)/1024) }
