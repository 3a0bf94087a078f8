package e2e

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// verifiedByHand runs the command verify on two images, one of which was changed.
func (s *series) verifiedByHand(t *testing.T) {
	good, bad := s.rebased()[0], s.rebased()[3]
	changed := pulledImage(t, onHost(bad.Tags[0]))
	config, err := changed.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	for i, variable := range config.Config.Env {
		if variable == "LOG_JSON=true" {
			config.Config.Env[i] = "LOG_JSON=false"
		}
	}
	if changed, err = mutate.ConfigFile(changed, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, tag := range bad.Tags {
			if err := crane.Tag(lab["LAB_REGISTRY"]+"/"+s.repo+"@"+bad.Digest, tagOf(tag)); err != nil {
				t.Error(err)
			}
		}
	})
	for _, tag := range bad.Tags {
		if err := crane.Push(changed, onHost(tag)); err != nil {
			t.Fatal(err)
		}
	}
	said, err := verify(t, good.Tags[0], bad.Tags[0])
	if err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	for _, want := range []string{
		good.Tags[0] + " is equal to a native build of it", bad.Tags[0] + " is different", "config Env LOG_JSON: want true, got false",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	tags, err := crane.ListTags(lab["LAB_REGISTRY"] + "/" + s.repo)
	if err != nil || strings.Contains(strings.Join(tags, " "), "verify-") {
		t.Errorf("tags that are left: %v, %v", tags, err)
	}
}

// verify runs the command verify in the action's image, as a user would.
func verify(t *testing.T, images ...string) (said string, err error) {
	t.Helper()
	args := []string{
		"run", "--rm", "--network", lab["LAB_NETWORK"], "--volume", "/var/run/docker.sock:/var/run/docker.sock",
		"--volume", t.TempDir() + ":/here", "--workdir", "/here", "--volume", runner.PackagesMount(lab["LAB_PACKAGES"]),
	}
	for _, variables := range []map[string]string{runner.NoHub, runner.UsePackages} {
		for name, value := range variables {
			args = append(args, "--env", name+"="+value)
		}
	}
	args = append(args, lab["LAB_ACTION_IMAGE"], "verify", "--verify-tree=true", "--sdk-repository="+lab["LAB_SDK_REPOSITORY_INSIDE"],
		"--sdk-ref="+lab["LAB_SDK_REF"], "--sdk-options="+lab["LAB_SDK_OPTIONS"], "--base-image-template="+lab["LAB_BASE_IMAGE_TEMPLATE"],
		"--builder="+lab["LAB_BUILDER"])
	return command("docker", append(args, images...)...)
}

// Real instances for which the lab has no base image; the tests give them odd ones.
const (
	closedFolder, symbolicLink, plainFile = "django__django-11087", "django__django-11095", "django__django-11119"
	nodeFolder, otherUser                 = "django__django-11133", "django__django-11138"
)

// passwd has the SDK's user with another number.
const passwd = "root:x:0:0:root:/root:/bin/bash\nman:x:6:12:man:/var/cache/man:/usr/sbin/nologin\n" +
	"_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" +
	"openhands:x:5000:10001::/home/openhands:/bin/bash\n"

// oddBases uses bases on which a mounted layer would differ from COPY. Each image is built natively, with its reason,
// if the SDK can build on the base at all.
func (s *series) oddBases(t *testing.T) {
	from, built := s.ids[0], 2
	folder := func(name string, mode int64) entry {
		return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}}
	}
	ids := []string{closedFolder, plainFile, otherUser}
	addLayer(t, from, closedFolder, folder("agent-server/", 0o700))
	addLayer(t, from, plainFile, entry{tar.Header{Typeflag: tar.TypeReg, Name: "agent-server", Mode: 0o644}, "a file\n"})
	addLayer(t, from, otherUser, entry{tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, passwd})
	reasons := map[string]string{
		closedFolder: "/agent-server as a folder", plainFile: "/agent-server as a file", otherUser: "user openhands has not the uid 10001",
	}
	if *more { // a build of 40 s for each
		ids, built = append(ids, symbolicLink, nodeFolder), 4
		addLayer(t, from, symbolicLink, folder("opt/agent/", 0o755),
			entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "agent-server", Linkname: "/opt/agent", Mode: 0o777}})
		addLayer(t, from, nodeFolder, folder("acp-node/", 0o755))
		reasons[symbolicLink], reasons[nodeFolder] = "/agent-server as a symbolic link", "/acp-node as a folder"
	}
	step := s.step(t, ids, map[string]string{"verify": "0", "max-retries": "0"})
	got := start(t, step).Wait()
	checkOutputs(t, got, 1, map[string]string{"built": fmt.Sprint(built), "failed": "1", "strategy": "native"})
	lines := ledger(t, s.workspace, got)
	for id, reason := range reasons {
		l := lines[id]
		if l.Strategy != "native" || !strings.Contains(l.NotRebased, reason) || !strings.Contains(unescaped(got.Summary), reason) {
			t.Errorf("%s: %+v; want it native, because of %q", id, l, reason)
		}
		if id != plainFile && (l.Status != "built" || digestInRegistry(t, s.repo, tagOf(l.Tags[0])) != l.Digest) {
			t.Errorf("%s: %+v; want it built, and in the registry", id, l)
		}
	}
	if l := lines[plainFile]; l.ErrorClass != "build-failed" { // COPY cannot put a folder over a file
		t.Errorf("%s: %+v; want that the SDK's build fails on it", plainFile, l)
	}
	runsAsAgentServer(t, step, got, otherUser)
}
