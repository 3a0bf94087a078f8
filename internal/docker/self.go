package docker

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
)

// hostnameFile is the file of the engine that is mounted as a container's /etc/hostname.
var hostnameFile = regexp.MustCompile(`/containers/([0-9a-f]{64})/hostname$`)

// OwnContainer reads from /proc/self/mountinfo the id of the container that this process runs in; "" outside of one. On a
// machine with an engine the table shows other containers' mounts too, so the mount's place counts.
func OwnContainer(mountinfo io.Reader) string {
	for lines := bufio.NewScanner(mountinfo); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		const root, place = 3, 4 // proc_pid_mountinfo(5)
		if len(fields) <= place || fields[place] != "/etc/hostname" {
			continue
		}
		if found := hostnameFile.FindStringSubmatch(fields[root]); found != nil {
			return found[1]
		}
	}
	return ""
}

// Place is where a run and its builder meet.
type Place struct {
	// Network is what a builder has to be on to reach what the run reaches; "" is the engine's default.
	Network string
	// Disk is a path on the disk that the engine keeps images and caches on; "" where this process cannot see it.
	Disk string
}

// Place finds out where this process is, seen from the engine: in the container with the given id, or with "" beside it.
// The error is an *Unavailable.
func (e *Engine) Place(ctx context.Context, own string) (Place, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if own != "" {
		it, err := e.api.ContainerInspect(ctx, own)
		switch {
		case err == nil && it.ContainerJSONBase != nil && it.HostConfig != nil:
			// A container's root is on the engine's disk.
			return Place{Network: networkOf(string(it.HostConfig.NetworkMode)), Disk: "/"}, nil
		case err != nil && !cerrdefs.IsNotFound(err):
			return Place{}, &Unavailable{Part: "this run's own container on the engine", Err: err, hint: healthy}
		}
		return Place{}, nil // in a container of another engine, which sees no disk of this one
	}
	if !strings.HasPrefix(e.api.DaemonHost(), "unix://") {
		return Place{}, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return Place{}, &Unavailable{Part: "the engine's own facts", Err: err, hint: healthy}
	}
	return Place{Disk: info.DockerRootDir}, nil
}

// networkOf leaves out the modes that are no network to join: the engine's default, and none at all.
func networkOf(mode string) string {
	switch mode {
	case "", "default", "bridge", "none":
		return ""
	}
	return mode
}
