// Package host runs a Docker Engine: the machine's own, or the distribution's package, which the lab installs and
// starts.
package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// Part starts an engine if none answers.
var Part = engine.Part{Name: "Docker Engine", Up: up}

func up(ctx context.Context, e *engine.Engine, log io.Writer) error {
	if engineAnswers(ctx, e) {
		return keepShim(ctx, e)
	}
	if err := mayInstall(e.Host); err != nil {
		return err
	}
	if err := Install(ctx, log, map[string]string{"docker": "docker.io", "dockerd": "docker.io", "iptables": "iptables"}); err != nil {
		return err
	}
	if engineAnswers(ctx, e) {
		return nil // the package has started it
	}
	return start(ctx, e, log)
}

func engineAnswers(ctx context.Context, e *engine.Engine) bool {
	if _, err := exec.LookPath("docker"); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := e.Output(ctx, "version", "--format", "{{.Server.Version}}")
	return err == nil
}

// mayInstall returns an error where the lab must not change the machine.
func mayInstall(host string) error {
	if host != "unix://"+engine.Socket {
		return fmt.Errorf("no Docker Engine answers at %s\nhint: start it, or unset DOCKER_HOST and leave the docker context", host)
	}
	release, _ := os.ReadFile("/etc/os-release")
	if os.Getuid() != 0 || !debian(string(release)) {
		return fmt.Errorf("no Docker Engine answers at %s\nhint: install and start Docker; the lab does that itself only as root on Debian or Ubuntu", host)
	}
	return nil
}

// debian reports whether docker.io is the package to install, by /etc/os-release.
func debian(release string) bool {
	return slices.ContainsFunc(strings.Split(release, "\n"), func(line string) bool {
		return line == "ID=debian" || line == "ID=ubuntu"
	})
}
