package docker

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestOwnName(t *testing.T) {
	const owner = "0123456789abcdef"
	one, other := RunBuilderName("step 1", owner), RunBuilderName("step 2", owner)
	if one == other || !strings.HasSuffix(one, "-0123456789ab") || !IsRunBuilderName(one) || !strings.HasPrefix(one, stepPrefix("step 1")) {
		t.Errorf("names %s and %s: want the container's id in both, and two steps told apart", one, other)
	}
	if a, b := RunBuilderName("", ""), RunBuilderName("", ""); a == b || len(a) != len(one) {
		t.Errorf("names %s and %s of two runs outside of a container", a, b)
	}
	// The hostname of a container, and what buildx takes for a name.
	if len(containerOf(one)) > 63 {
		t.Errorf("%s has more than 63 characters", containerOf(one))
	}
	if IsRunBuilderName("eval-images") || IsRunBuilderName("eval-images-lab") {
		t.Error("another builder's name is taken for a run's own")
	}
}

func TestMakeOptions(t *testing.T) {
	cases := []struct {
		name, network, file string
		want                []string
	}{
		{"the engine's defaults", "", "", nil},
		{"a job with services", "github_network_1", "", []string{"--driver-opt", "network=github_network_1"}},
		{"mirrors", "n", "/t/b.toml", []string{"--driver-opt", "network=n", "--buildkitd-config", "/t/b.toml"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, createOptions(c.network, c.file)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The texts are those of Docker 20.10 and 28, of runc and of buildx.
func TestNotMade(t *testing.T) {
	cases := []struct{ name, said, lastLogLine, want string }{
		{
			"no capabilities", "OCI runtime create failed: runc create failed: unable to start container process: unable to apply caps: operation not permitted", "",
			"privileged container",
		},
		{"user namespaces", "privileged mode is incompatible with user namespaces", "", "privileged container"},
		{"a plugin's refusal", "authorization denied by plugin p: [DOCKER] privileged containers are not allowed", "", "privileged container"},
		{"no image", "Error response from daemon: No such image: moby/buildkit:buildx-stable-1", "", "docker pull moby/buildkit"},
		{"pull limit", "toomanyrequests: You have reached your unauthenticated pull rate limit", "", "docker pull moby/buildkit"},
		{
			"no network", `Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host`, "",
			"docker pull moby/buildkit",
		},
		{
			"its configuration", "running docker buildx create --buildkitd-config /t/buildkitd.toml: ERROR: failed to parse config: (1, 10): unterminated array", "",
			"check buildkitd-config-inline: it is",
		},
		{
			"it ended at once", "running docker buildx inspect: Error response from daemon: Container 5ab2 is restarting, wait until the container is running",
			"buildkitd: no snapshotter", "BuildKit said buildkitd: no snapshotter; check buildkitd-config-inline",
		},
		{
			"another reason than the configuration that it was given", "running docker buildx create --buildkitd-config /t/buildkitd.toml: exit status 1", "",
			"docker info",
		},
		{"nothing known", "context deadline exceeded", "", "docker info"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := createHint(c.said, c.lastLogLine); !strings.Contains(got, c.want) {
				t.Errorf("hint %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestLastComplaint(t *testing.T) {
	const log = "time=x level=info\nbuildkitd: first\nstack\nbuildkitd: \"no\" such snapshotter\n1 v0.34.2 buildkitd --config x\nruntime/asm_amd64.s:1771\n"
	if got, want := lastBuildkitdLine(log), `buildkitd: "no" such snapshotter`; got != want {
		t.Errorf("lastBuildkitdLine = %q, want %q", got, want)
	}
}

// An engine answers with a conflict while it is at the removal already, and while a container still holds its volume.
func TestGone(t *testing.T) {
	broken := errors.New("broken")
	cases := []struct {
		name    string
		answers []error
		found   bool
		err     error
		took    time.Duration
	}{
		{"was not there", []error{cerrdefs.ErrNotFound}, false, nil, 0},
		{"is removed", []error{nil, cerrdefs.ErrNotFound}, true, nil, 0},
		{"is being removed", []error{cerrdefs.ErrConflict, cerrdefs.ErrConflict, cerrdefs.ErrNotFound}, true, nil, 2 * removeInterval},
		{"cannot be removed", []error{broken}, false, broken, 0},
		{"stays", []error{cerrdefs.ErrConflict}, true, cerrdefs.ErrConflict, time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := withTimeout(t, time.Minute)
				defer cancel()
				begin, calls := time.Now(), 0
				found, err := removeUntilGone(ctx, func() error {
					calls++
					return c.answers[min(calls, len(c.answers))-1]
				})
				if found != c.found || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("removeUntilGone = %v, %v; want %v, %v", found, err, c.found, c.err)
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}
