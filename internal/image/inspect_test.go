package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// inspecting is a docker command that does what the one command of the inspection does, with the folder root in place of a base
// image, and copies its files.
const inspecting = `set -e
for word; do case $word in type=local,dest=*) to=${word#type=local,dest=};; esac; done
command=$(sed -n 's/^RUN \["\/bin\/sh", "-c", "\(.*\)"\]$/\1/p' | sed "s#/agent-server#$root/agent-server#; s#/acp-node#$root/acp-node#; s#/eval-images-paths#$to/paths#")
test -n "$command"
sh -c "$command"
sed -i "s#$root##" $to/paths
cp $root/etc/passwd $root/etc/group $to/
`

const passwd, group = "root:x:0:0::/root:/bin/sh\nopenhands:x:10001:10001::/home/openhands:/bin/sh\n", "root:x:0:\nopenhands:x:10001:\n"

// inspects lets the inspection see a base image with the files that prepare makes below root.
func (f *fixture) inspects(t *testing.T, prepare func(t *testing.T, root string)) {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/passwd"), passwd)
	write(t, filepath.Join(root, "etc/group"), group)
	prepare(t, root)
	f.dockerIs(t, "root="+root+"\n"+inspecting)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func plainBase(*testing.T, string) {}

func baseWith(name, content string) func(*testing.T, string) {
	return func(t *testing.T, root string) { write(t, filepath.Join(root, name), content) }
}

// An eval-base is marked when something in it would make the agent's layers land otherwise than a build's COPY does. Its mark
// says what, when it was made, and on which base image.
func TestEvalBasesAreInspected(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(t *testing.T, root string)
		want    string
	}{
		{"plain", plainBase, ""},
		{"a folder", func(t *testing.T, root string) {
			if err := os.Mkdir(filepath.Join(root, "agent-server"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "its base image has /agent-server as a folder"},
		{"a file", baseWith("agent-server", ""), "its base image has /agent-server as a file"},
		{"a symbolic link that leads nowhere", func(t *testing.T, root string) {
			if err := os.Symlink("/gone", filepath.Join(root, "agent-server")); err != nil {
				t.Fatal(err)
			}
		}, "its base image has /agent-server as a symbolic link"},
		{"Node.js", baseWith("acp-node/bin/node", ""), "its base image has /acp-node as a folder"},
		{"both", func(t *testing.T, root string) {
			baseWith("acp-node", "")(t, root)
			baseWith("agent-server/x", "")(t, root)
		}, "its base image has /agent-server as a folder, /acp-node as a file"},
		{"another uid", baseWith("etc/passwd", "openhands:x:1000:10001::/:\n"), "its user openhands has not the uid 10001"},
		{"no user", baseWith("etc/passwd", "openhands2:x:10001:10001::/:\n"), "its user openhands has not the uid 10001"},
		{"the first of two counts", baseWith("etc/passwd", "openhands:x:1:1::/:\n"+passwd), "its user openhands has not the uid 10001"},
		{"another gid", baseWith("etc/group", "openhands:x:1000:\n"), "its group openhands has not the gid 10001"},
		{"no group", baseWith("etc/group", "x:x:10001:openhands\n"), "its group openhands has not the gid 10001"},
		{"a user behind much else", baseWith("etc/passwd", strings.Repeat("x:x:1:1::/:\n", 5000)+passwd), "its file passwd has more than 16384 bytes"},
		{"a file that is cut off", baseWith("etc/passwd", "openhands:x"), "its user openhands has not the uid 10001"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			synctest.Test(t, func(t *testing.T) {
				h.inspects(t, plainBase)
				h.run(t, true, h.targets(t, "x", "y"))
				h.inspects(t, c.prepare)
				target := h.targets(t, "i")
				r := h.run(t, true, target)
				want := "rebase"
				if c.want != "" {
					want = "native: the eval-base: " + c.want
				}
				differ(t, "images", map[string]string{"i": want}, r.made())
				made, err := Fetch(t.Context(), r.registry, ours+":"+key(t, h.bases["i"]))
				if err != nil {
					t.Fatal(err)
				}
				var refusal *rebase.Refusal
				switch err := rebase.IsRebasable(made.Manifest); {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (!errors.As(err, &refusal) || refusal.Reason != "the eval-base: "+c.want):
					t.Errorf("%v; want %q", err, c.want)
				}
				if created, dated := rebase.CreatedAt(made.Manifest); !dated || !created.Equal(start) {
					t.Errorf("it says that it was made at %v (%v), want %v", created, dated, start)
				}
				digest, err := h.bases["i"].Digest()
				if err != nil {
					t.Fatal(err)
				}
				base, of := rebase.BaseOf(made.Manifest)
				differ(t, "its base", [2]string{target[0].BaseImage, digest.String()}, [2]string{base, of})
			})
		})
	}
}

// The shell and the files of an inspection are the base image's: what they say is read up to a few kilobytes, no link is followed,
// and nothing of it gets into a reason.
func TestHostileInspections(t *testing.T) {
	const to = "for word; do case $word in type=local,dest=*) to=${word#type=local,dest=};; esac; done\ncat >/dev/null\n" +
		"echo openhands:x:10001:10001::/: >$to/passwd; echo openhands:x:10001: >$to/group; : >$to/paths\n"
	cases := []struct{ name, docker, want string }{
		{"a shell that writes 1.5 GB", "truncate -s 1500M $to/paths\n", "its file paths has more than 16384 bytes"},
		{"a shell that writes anything", "printf '/agent-server as a folder\n::error::x\033[2J\n' >$to/paths\n", "its file paths is not what the inspection writes"},
		{"a link to a device", "rm $to/paths; ln -s /dev/zero $to/paths\n", "its file paths leads out of its folder"},
		{"a link to a file of this machine", "rm $to/passwd; ln -s /etc/passwd $to/passwd\n", "its file passwd leads out of its folder"},
		{"a pipe that nobody writes", "rm $to/group; mkfifo $to/group\n", "its file group is no regular file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "x", "y"))
				h.dockerIs(t, to+c.docker)
				r := h.run(t, true, h.targets(t, "i"))
				got := r.made()["i"]
				if !strings.HasPrefix(got, "native: the eval-base: "+c.want) || len(got) > 1000 || strings.ContainsAny(got, "\n\x1b") {
					t.Errorf("it was made %q, want %q", got, c.want)
				}
			})
		})
	}
}

// An image of very many layers can be pushed, but the Docker Engine does not run it.
func TestVeryManyLayersAreWarnedOf(t *testing.T) {
	cases := []struct {
		layers int // of the base image; the SDK's stages add two
		warned bool
	}{{123, false}, {124, true}}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.layers), func(t *testing.T) {
			h := atOnce(t)
			synctest.Test(t, func(t *testing.T) {
				for _, id := range []string{"i", "j"} {
					more := slices.Repeat([]mutate.Addendum{{
						Layer: static.NewLayer([]byte("one"), types.OCIUncompressedLayer), History: v1.History{CreatedBy: "RUN x"},
					}}, c.layers-1)
					img, err := mutate.Append(registrytest.Base(id), more...)
					if err != nil {
						t.Fatal(err)
					}
					h.bases[id] = img
					if err := registrytest.Push(h.hosts, hub+"/"+id+":latest", img); err != nil {
						t.Fatal(err)
					}
				}
				h.run(t, true, h.targets(t, "x", "y"))
				r := h.run(t, true, h.targets(t, "i", "j"))
				differ(t, "images", map[string]string{"i": "rebase", "j": "rebase"}, r.made())
				warned := strings.Join(r.warnings, "\n")
				if c.warned != strings.Contains(warned, fmt.Sprintf("has %d layers", c.layers+2)) || strings.Count(warned, "layers.") > 1 {
					t.Errorf("warnings are %q", r.warnings)
				}
			})
		})
	}
}

// What has the tag of its key was inspected: there is none where that failed.
func TestNoEvalBaseWithoutAnInspection(t *testing.T) {
	cases := []struct {
		name, docker string
		class        failure.Class
		says         string
	}{
		{
			"docker fails", "cat >/dev/null; echo 'ERROR: failed to solve: no space left on device' >&2; exit 1\n",
			failure.ClassDisk, "inspecting the eval-base: ",
		},
		{"docker leaves nothing", "cat >/dev/null\n", failure.ClassUnknown, "paths: no such file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "x", "y"))
				h.dockerIs(t, c.docker)
				r := h.run(t, true, h.targets(t, "i"))
				if err := r.outcomes[0].Err; failure.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", failure.ClassOf(err), err)
				}
				if _, err := Fetch(t.Context(), r.registry, ours+":"+key(t, h.bases["i"])); !errors.Is(err, registry.ErrNotFound) {
					t.Errorf("its tag is there: %v", err)
				}
			})
		})
	}
}

// A disk that is full for the inspection is as full as for a build.
func TestInspectionOnAFullDiskIsTriedAgain(t *testing.T) {
	h := atOnce(t)
	h.settings.Workspace, h.settings.MaxRetries = t.TempDir(), 3
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "x", "y"))
		t.Setenv("TMPDIR", "/dev/null/no space left on device") // which is all that the error of a full disk says
		r := h.run(t, true, h.targets(t, "i"))
		if out := r.outcomes[0]; failure.ClassOf(out.Err) != failure.ClassDisk || len(out.Attempts) != 3 {
			t.Errorf("%d attempts, %v; want 3 that fail by a full disk", len(out.Attempts), out.Err)
		}
	})
}

// The base of a reference is held to the same: it gets no mark, but is not learned from.
func TestBasesOfReferencesAreInspected(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(*testing.T, string)
		want    string
	}{
		{"plain", plainBase, ""},
		{"another uid", baseWith("etc/passwd", "openhands:x:1000:10001::/:\n"), "its user openhands has not the uid 10001"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			synctest.Test(t, func(t *testing.T) {
				h.inspects(t, c.prepare)
				r := h.run(t, true, h.targets(t, "x", "y"))
				differ(t, "images", map[string]string{"x": "native", "y": "native"}, r.made())
				warned := strings.Join(r.warnings, "\n")
				if c.want == "" && (warned != "" || len(r.references) != 2) || c.want != "" && (!strings.Contains(warned, c.want) || len(r.references) != 0) {
					t.Errorf("%d references, warnings %q; want %q", len(r.references), warned, c.want)
				}
				for _, id := range []string{"x", "y"} {
					if _, err := Fetch(t.Context(), r.registry, ours+":"+key(t, h.bases[id])); !errors.Is(err, registry.ErrNotFound) {
						t.Errorf("it has the tag of an eval-base: %v", err)
					}
				}
			})
		})
	}
}
