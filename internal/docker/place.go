package docker

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
)

// hostnameFile matches the file on the engine's machine that is mounted as a container's /etc/hostname: Docker's
// containers/ID/hostname, nerdctl's containers/NAMESPACE/ID/hostname (containerd/nerdctl, pkg/containerutil), and Podman's
// overlay-containers/ID/userdata/hostname, in which overlay is the storage driver (containers/storage, store.go).
var hostnameFile = regexp.MustCompile(`/(?:containers(?:/[^/]+)?/([0-9a-f]{64})|[a-z]+-containers/([0-9a-f]{64})/userdata)/hostname$`)

// OwnContainer returns the id of the container that this process runs in, or "" outside of a container. It parses
// /proc/self/mountinfo. The mount point must match too, because the table of a machine with an engine lists the mounts of
// other containers.
func OwnContainer(mountinfo io.Reader) string {
	for lines := bufio.NewScanner(mountinfo); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		const root, place = 3, 4 // proc_pid_mountinfo(5)
		if len(fields) <= place || fields[place] != "/etc/hostname" {
			continue
		}
		if found := hostnameFile.FindStringSubmatch(fields[root]); found != nil {
			return found[1] + found[2]
		}
	}
	return ""
}

// Place describes where this process runs, as the engine sees it.
type Place struct {
	// Network is the network on which a builder reaches what this process reaches. Empty is the engine's default.
	Network string
	// Disk is a path on the disk that holds the engine's images and caches. It is empty if this process cannot see that disk.
	Disk string
}

// Place finds out where this process runs: in the container with id own, or outside of a container if own is empty. The
// error is an *Unavailable.
func (e *Engine) Place(ctx context.Context, own string) (Place, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if own != "" {
		it, err := e.api.ContainerInspect(ctx, own)
		switch {
		case err == nil && it.ContainerJSONBase != nil && it.HostConfig != nil:
			// A container's root is on the engine's disk.
			return Place{Network: networkOf(string(it.HostConfig.NetworkMode)), Disk: "/"}, nil
		case err != nil && !cerrdefs.IsNotFound(err):
			return Place{}, &Unavailable{Part: "this run's own container on the engine", Err: err, hint: engineHint}
		}
		return Place{}, nil // in a container of another engine, which sees no disk of this one
	}
	if !strings.HasPrefix(e.api.DaemonHost(), "unix://") {
		return Place{}, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return Place{}, &Unavailable{Part: "the engine's own facts", Err: err, hint: engineHint}
	}
	return Place{Disk: info.DockerRootDir}, nil
}

// networkOf returns "" for the network modes that are no network to join.
func networkOf(mode string) string {
	switch mode {
	case "", "default", "bridge", "none":
		return ""
	}
	return mode
}
