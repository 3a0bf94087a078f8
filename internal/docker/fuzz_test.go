package docker

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
)

// The output of a build is a base image's and a registry's word: whatever it is, the failure has a class.
func FuzzBuildOutput(f *testing.F) {
	for _, text := range []string{
		"#1 [internal] load\n------\n > [builder 2/7] RUN make:\n0.1 no space left on device\n------\nERROR: failed to build: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
		"------\n > [internal] load metadata for docker.io/x/y:z:\n------\nERROR: failed to solve: x/y:z: failed to resolve source metadata for x/y:z: not found",
		"ERROR: failed to push ghcr.io/x: 429 Too Many Requests - Server message: toomanyrequests: retry-after: 352.829\u00b5s, allowed: 44000/minute",
		"ERROR: retry-after: 99999999999999999999h", "------\n------\n > :\n", "ERROR: \nERROR: ", "\x1b[2J::error::",
		"FROM ${BASE_IMAGE} AS a\nFROM a AS b\nFROM --platform=$BUILDPLATFORM x AS a",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := BuildFailure(1, text, errors.New(logfile.LastLine(text)), "x/y:z", BaseStages(text))
		class := failure.ClassOf(err)
		if failure.Hint(class) == "" || failure.Wait(err, 3) < 0 {
			t.Errorf("class %s, wait %s", class, failure.Wait(err, 3))
		}
		if wait := failure.RetryAfter(text); wait < 0 {
			t.Errorf("a registry asks to wait for %s", wait)
		}
	})
}

var containerID = regexp.MustCompile(`^([0-9a-f]{64})?$`)

func FuzzMountinfo(f *testing.F) {
	id := strings.Repeat("0a", 32)
	f.Add("1 2 0:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n")
	f.Add("1 2 0:1 /containers/../../" + id + "/hostname /etc/hostname\n" + strings.Repeat("x", 70_000))
	f.Add("\x00\n  \n1 2 3")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		if got := OwnContainer(strings.NewReader(mountinfo)); !containerID.MatchString(got) {
			t.Errorf("this process runs in the container %q", got)
		}
	})
}

// df and buildx print tables of a builder that may be anybody's: a size is one that can be reckoned with, or an error.
func FuzzTables(f *testing.F) {
	for _, text := range []string{
		"Filesystem 1024-blocks Used Available Capacity Mounted on\noverlay 263174212 73400320 22020096 77% /var/lib/buildkit",
		"a b 9223372036854775807 9223372036854775807 9223372036854775807 100% /", "x 1 -5 6 1% /", "x 0 0 0 -% /", "1% 2% 3%",
		"ID RECLAIMABLE SIZE\nx true 1.2GB\nTotal: 1.2GB", "Total:\t9e300PB", "Total: -1kB", "Total:", "Reclaimable: 1B",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if space, err := parseDf(text); err == nil && (space.Free < 0 || space.Total <= 0 || space.Used() < 0 || space.Used() > 100) {
			t.Errorf("df says %+v, %f %% used", space, space.Used())
		}
		if size, err := total(text); err == nil && size < 0 {
			t.Errorf("the cache has %d bytes", size)
		}
	})
}
