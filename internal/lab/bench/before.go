package bench

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

//go:embed before.sh
var beforeProgram string

// phase is a part of a run by name.
type phase struct {
	name string
	took time.Duration
}

// before runs the SDK's own command line once for each image, with or without an sdist that was made ahead.
func (b *bench) before(ctx context.Context, commit, repository string, sdistOnce bool) ([]phase, time.Duration, error) {
	if err := b.write("before.sh", beforeProgram); err != nil {
		return nil, 0, err
	}
	if err := b.write("before.txt", b.list()); err != nil {
		return nil, 0, err
	}
	sdist := "each"
	if sdistOnce {
		sdist = "once"
	}
	args := []string{"run", "--rm", "--network", b.Values["LAB_NETWORK"], "--entrypoint", "tini",
		"--volume", "/var/run/docker.sock:/var/run/docker.sock", "--volume", b.Workspace + ":" + workspaceInside,
		"--env", "REF=" + commit, "--env", "REPOSITORY=" + sdkInside, "--env", "BUILDER=" + b.Values["LAB_BUILDER"],
		"--env", "SDIST=" + sdist, "--env", fmt.Sprintf("WORKERS=%d", workers), "--env", "IMAGE=" + b.image(repository),
		"--env", "LIST=" + workspaceInside + "/before.txt", "--env", "UV_CACHE_DIR=" + packagesInside,
		b.Values["LAB_ACTION_IMAGE"], "--", "bash", workspaceInside + "/before.sh"}
	cmd := exec.CommandContext(ctx, "docker", append(args, asFlags(b.Values["LAB_SDK_OPTIONS"])...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&said, b.Log), b.Log
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("running the SDK's command line: %w", err)
	}
	took := time.Since(begin)
	phases, err := marks(said.String())
	return phases, took, err
}

// list has a line for each image: base image and custom tag.
func (b *bench) list() string {
	var lines strings.Builder
	for _, id := range b.Instances {
		repo, name, _ := strings.Cut(id, "__")
		base := strings.NewReplacer("{repo}", repo, "{name}", name, "{instance_id}", id, "{arch}", "x86_64").
			Replace(b.Values["LAB_BASE_IMAGE_TEMPLATE"])
		fmt.Fprintf(&lines, "%s sweb.eval.x86_64.%s_1776_%s\n", base, repo, name)
	}
	return lines.String()
}

// asFlags turns name=value of a BuildOptions field into the flag that the SDK's command line has for it.
func asFlags(option string) []string {
	name, value, ok := strings.Cut(option, "=")
	if !ok {
		return nil
	}
	return []string{"--" + strings.ReplaceAll(name, "_", "-") + "=" + value}
}

// marks reads the times between the lines "mark NAME SECONDS".
func marks(said string) ([]phase, error) {
	var phases []phase
	var last float64
	for lines := bufio.NewScanner(strings.NewReader(said)); lines.Scan(); {
		var name string
		var at float64
		if n, _ := fmt.Sscanf(lines.Text(), "mark %s %f", &name, &at); n != 2 {
			continue
		}
		if name != "begin" {
			phases = append(phases, phase{name, time.Duration((at - last) * float64(time.Second))})
		}
		last = at
	}
	if len(phases) == 0 {
		return nil, fmt.Errorf("the run left no times: %.200q", said)
	}
	return phases, nil
}
