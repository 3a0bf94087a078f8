package evalbase

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// fakeDocker does what the recipe's one command does, with root in the place of a base image, and copies its files.
const fakeDocker = `#!/bin/sh
set -e
for word; do case $word in type=local,dest=*) to=${word#type=local,dest=};; esac; done
command=$(sed -n 's/^RUN \["\/bin\/sh", "-c", "\(.*\)"\]$/\1/p' | sed "s#/agent-server#$root/agent-server#; s#/acp-node#$root/acp-node#; s#/eval-images-paths#$to/paths#")
test -n "$command"
sh -c "$command"
sed -i "s#$root##" $to/paths
cp $root/etc/passwd $root/etc/group $to/
`

const passwd, group = "root:x:0:0::/root:/bin/sh\nopenhands:x:10001:10001::/home/openhands:/bin/sh\n", "root:x:0:\nopenhands:x:10001:\n"

// checked has a base image with the files that prepare makes below root checked.
func checked(t *testing.T, docker string, prepare func(t *testing.T, root string)) (*Checker, plan.Target, registrytest.Hosts) {
	t.Helper()
	folder, root := t.TempDir(), t.TempDir()
	write(t, filepath.Join(folder, "docker"), docker, 0o755)
	write(t, filepath.Join(root, "etc/passwd"), passwd, 0o644)
	write(t, filepath.Join(root, "etc/group"), group, 0o644)
	prepare(t, root)
	path := folder + ":" + os.Getenv("PATH")
	t.Setenv("PATH", path)
	hosts := registrytest.Hosts{"r.test": registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)}
	c := &Checker{
		Next: build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
			tag := "r.test/bases:the-sdks"
			return build.Result{Tags: []string{tag}, Strategy: build.StrategyNative},
				registrytest.Push(hosts, tag, registrytest.EvalBase(registrytest.Base("b"), "unknown", "b"))
		}),
		Registry: registry.New(authn.DefaultKeychain, hosts), Image: "r.test/bases",
		Buildx: native.Buildx{Environ: []string{"PATH=" + path, "root=" + root}},
		Log:    func(instance string) string { return filepath.Join(folder, instance+".log") },
	}
	return c, plan.Target{InstanceID: "i", BaseImage: "hub.test/b:latest@sha256:" + strings.Repeat("0", 64), CustomTag: "key"}, hosts
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

func TestChecker(t *testing.T) {
	file := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, root string) { write(t, filepath.Join(root, name), content, 0o644) }
	}
	cases := []struct {
		name    string
		prepare func(t *testing.T, root string)
		want    string
	}{
		{"plain", func(*testing.T, string) {}, ""},
		{"a folder", func(t *testing.T, root string) {
			if err := os.Mkdir(filepath.Join(root, "agent-server"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "its base image has /agent-server as a folder"},
		{"a file", file("agent-server", ""), "its base image has /agent-server as a file"},
		{"a symbolic link that leads nowhere", func(t *testing.T, root string) {
			if err := os.Symlink("/gone", filepath.Join(root, "agent-server")); err != nil {
				t.Fatal(err)
			}
		}, "its base image has /agent-server as a symbolic link"},
		{"Node.js", file("acp-node/bin/node", ""), "its base image has /acp-node as a folder"},
		{"both", func(t *testing.T, root string) {
			file("acp-node", "")(t, root)
			file("agent-server/x", "")(t, root)
		}, "its base image has /agent-server as a folder, /acp-node as a file"},
		{"another uid", file("etc/passwd", "openhands:x:1000:10001::/:\n"), "its user openhands has not the uid 10001"},
		{"no user", file("etc/passwd", "openhands2:x:10001:10001::/:\n"), "its user openhands has not the uid 10001"},
		{"the first of two counts", file("etc/passwd", "openhands:x:1:1::/:\n"+passwd), "its user openhands has not the uid 10001"},
		{"another gid", file("etc/group", "openhands:x:1000:\n"), "its group openhands has not the gid 10001"},
		{"no group", file("etc/group", "x:x:10001:openhands\n"), "its group openhands has not the gid 10001"},
		{"a file that is cut off", file("etc/passwd", "openhands:x"), "its user openhands has not the uid 10001"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			checker, target, _ := checked(t, fakeDocker, c.prepare)
			result, err := checker.Build(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"r.test/bases:the-sdks"}, result.Tags); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			found, err := rebase.Fetch(t.Context(), checker.Registry, "r.test/bases", Tag("key"))
			if err != nil {
				t.Fatal(err)
			}
			var refusal *rebase.Refusal
			switch err := rebase.Marked(found.Manifest); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &refusal) || refusal.Reason != "the eval-base: "+c.want):
				t.Errorf("%v; want %q", err, c.want)
			}
			if _, dated := rebase.Made(found.Manifest); !dated {
				t.Error("it does not say when it was made")
			}
			for _, part := range []string{`"hub.test/b:latest"`, `"sha256:` + strings.Repeat("0", 64) + `"`} {
				if !strings.Contains(string(found.Manifest), part) {
					t.Errorf("the manifest lacks %s: %s", part, found.Manifest)
				}
			}
		})
	}
}

// What has the tag of its key was checked: there is none where the check could not be made.
func TestNoTagWithoutACheck(t *testing.T) {
	cases := []struct {
		name, docker string
		class        build.Class
		says         string
	}{
		{"the check fails", "#!/bin/sh\ncat >/dev/null; echo 'ERROR: failed to solve: no space left on device' >&2; exit 1\n",
			build.ClassDisk, "checking the eval-base: "},
		{"the check leaves nothing", "#!/bin/sh\ncat >/dev/null\n", build.ClassUnknown, "paths: no such file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			checker, target, _ := checked(t, c.docker, func(*testing.T, string) {})
			_, err := checker.Build(t.Context(), target)
			if build.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", build.ClassOf(err), err)
			}
			if _, err := rebase.Fetch(t.Context(), checker.Registry, "r.test/bases", Tag("key")); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("its tag is there: %v", err)
			}
		})
	}
}

// A reference's base is held to the same: it has no mark, but is not learned from.
func TestPlain(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, string){
		"": func(*testing.T, string) {},
		"its user openhands has not the uid 10001": func(t *testing.T, root string) {
			write(t, filepath.Join(root, "etc/passwd"), "openhands:x:1000:10001::/:\n", 0o644)
		},
	} {
		checker, target, _ := checked(t, fakeDocker, prepare)
		_, err := checker.Plain(checker.Next).Build(t.Context(), target)
		var refusal *rebase.Refusal
		if name == "" && err != nil || name != "" && (!errors.As(err, &refusal) || refusal.Reason != name) {
			t.Errorf("%v; want %q", err, name)
		}
		if _, err := rebase.Fetch(t.Context(), checker.Registry, "r.test/bases", Tag("key")); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("it has the tag of an eval-base: %v", err)
		}
	}
}
