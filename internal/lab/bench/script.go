package bench

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// programs run in the action's image beside the action. The others read prepare.sh.
//
//go:embed prepare.sh before.sh rivals.sh sdkbuild.py
var programs embed.FS

// phase is a named part of a run.
type phase struct {
	name string
	took time.Duration
}

// script runs one of the programs in the action's image, with the engine's socket. The list has a base image and a
// custom tag in each line. It returns the times between the program's marks.
func (b *bench) script(ctx context.Context, program, list string, env map[string]string, args ...string) ([]phase, error) {
	if err := b.writePrograms(); err != nil {
		return nil, err
	}
	if err := b.write("list.txt", list); err != nil {
		return nil, err
	}
	run := []string{
		"run", "--rm", "--network", b.Values["LAB_NETWORK"], "--entrypoint", "tini",
		"--volume", "/var/run/docker.sock:/var/run/docker.sock", "--volume", b.Workspace + ":" + workspaceInside,
		"--env", "REPOSITORY=" + sdkInside, "--env", "BUILDER=" + b.Values["LAB_BUILDER"],
		"--env", "LIST=" + workspaceInside + "/list.txt", "--env", "UV_CACHE_DIR=" + packagesInside,
	}
	for name, value := range env {
		run = append(run, "--env", name+"="+value)
	}
	run = append(run, b.Values["LAB_ACTION_IMAGE"], "--", "bash", workspaceInside+"/"+program)
	cmd := exec.CommandContext(ctx, "docker", append(run, args...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&said, b.Log), b.Log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running %s: %w", program, err)
	}
	return marks(said.String())
}

func (b *bench) writePrograms() error {
	entries, err := programs.ReadDir(".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		text, err := programs.ReadFile(entry.Name())
		if err != nil {
			return err
		}
		if err := b.write(entry.Name(), string(text)); err != nil {
			return err
		}
	}
	return nil
}

// marks returns the times between lines "mark NAME SECONDS".
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
		return nil, fmt.Errorf("the output has no marks: %.200q", said)
	}
	return phases, nil
}
