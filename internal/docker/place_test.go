package docker

import (
	"strings"
	"testing"
)

func TestOwnContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	line := func(root, place string) string {
		return "741 720 8:1 " + root + " " + place + " rw,relatime - ext4 /dev/sda1 rw\n"
	}
	cases := []struct{ name, mounts, want string }{
		{"in a container", line("/", "/x") + line("/var/lib/docker/containers/"+id+"/resolv.conf", "/etc/resolv.conf") +
			line("/var/lib/docker/containers/"+id+"/hostname", "/etc/hostname"), id},
		{"with the engine's folder on a disk of its own", line("/containers/"+id+"/hostname", "/etc/hostname"), id},
		{"on a machine that runs containers", line("/var/lib/docker/containers/"+id+"/mounts/shm", "/var/lib/docker/containers/"+id+"/mounts/shm") +
			line("/var/lib/docker/containers/"+id+"/hostname", "/mnt/hostname"), ""},
		{"of rootless podman", line("/containers/overlay-containers/"+id+"/userdata/hostname", "/etc/hostname"), id},
		{"of podman with another storage driver", line("/var/lib/containers/storage/btrfs-containers/"+id+"/userdata/hostname", "/etc/hostname"), id},
		{"of nerdctl", line("/var/lib/nerdctl/1935db59/containers/default/"+id+"/hostname", "/etc/hostname"), id},
		{"of a pod", line("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/"+id+"/hostname", "/etc/hostname"), ""},
		{"in another kind of container", line("/overlay-containers/x/userdata/hostname", "/etc/hostname"), ""},
		{"garbage", "x\n\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := OwnContainer(strings.NewReader(c.mounts)); got != c.want {
				t.Errorf("OwnContainer = %q, want %q", got, c.want)
			}
		})
	}
}

func TestNetworkOf(t *testing.T) {
	cases := map[string]string{
		"default": "", "bridge": "", "none": "", "": "", "github_network_1": "github_network_1", "host": "host", "container:x": "container:x",
	}
	for mode, want := range cases {
		if got := networkOf(mode); got != want {
			t.Errorf("networkOf(%q) = %q, want %q", mode, got, want)
		}
	}
}
