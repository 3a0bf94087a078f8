package act_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rhysd/actionlint"
)

// steps of release.yml, in the order that TestNothingMovesBeforeTheImageIsThere asks for.
const (
	checkTag   = "Check tag, changelog and branch"
	binaries   = "Build the binaries"
	makeImage  = "Make one image of both"
	pullImage  = "Pull it as anybody"
	nameImage  = "Name it in action.yml"
	startImage = "Start the action"
	moveTags   = "Put the tags on the release's commit"
	publish    = "Make the GitHub release"
)

const releasedImage = "ghcr.io/openhands/eval-images@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestNothingMovesBeforeTheImageIsThere: whoever uses the tag v1 gets the release at once, so its image has to be pulled and started
// before, and nothing may fail between the tags and the GitHub release.
func TestNothingMovesBeforeTheImageIsThere(t *testing.T) {
	workflow := parse(t, "release.yml")
	push, ok := workflow.On[0].(*actionlint.WebhookEvent)
	if !ok || len(workflow.On) != 1 || push.Hook.Value != "push" || push.Branches != nil || push.Tags == nil ||
		len(push.Tags.Values) != 1 || push.Tags.Values[0].Value != "v*.*.*" {
		t.Errorf("release.yml does not start by the push of a version tag only: %+v", workflow.On)
	}
	if workflow.Permissions == nil || workflow.Permissions.All != nil || len(workflow.Permissions.Scopes) != 0 {
		t.Errorf("the workflow itself has rights: %+v", workflow.Permissions)
	}
	if c := workflow.Concurrency; c == nil || c.Group.Value != "release" || c.CancelInProgress == nil || c.CancelInProgress.Value {
		t.Errorf("two releases run at once, or one cancels the other: %+v", c)
	}
	got := map[string]string{}
	for name, job := range workflow.Jobs {
		var needs []string
		for _, need := range job.Needs {
			needs = append(needs, need.Value)
		}
		got[name] = strings.Join(needs, " ") + "; " + rights(job.Permissions)
	}
	want := map[string]string{
		"check":   "; contents: read",
		"image":   "check; contents: read, packages: write",
		"release": "image; contents: write, packages: write",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("needs and rights of the jobs\n%s", diff)
	}
	var order []string
	for _, step := range workflow.Jobs["release"].Steps {
		if step.Name != nil {
			order = append(order, step.Name.Value)
		}
		if step.If != nil || step.ContinueOnError != nil {
			t.Errorf("the step %+v runs after a failure, or hides its own", step.Name)
		}
	}
	if diff := cmp.Diff([]string{binaries, makeImage, pullImage, nameImage, startImage, moveTags, publish}, order); diff != "" {
		t.Errorf("steps of the job release\n%s", diff)
	}
}

// TestAReleaseIsACommitOnNoBranch runs the workflow's own scripts on a repository with this repository's action.
func TestAReleaseIsACommitOnNoBranch(t *testing.T) {
	r := newRepository(t)
	first := r.tag(t, "v1.0.0")
	r.check(t, "v1.0.0", "")
	r.release(t, "v1.0.0")
	r.released(t, first, "v1.0.0", "v1")

	second := r.tag(t, "v1.1.0")
	r.check(t, "v1.1.0", "")
	r.release(t, "v1.1.0")
	r.released(t, second, "v1.1.0", "v1")

	r.git(t, "checkout", "--quiet", first)
	r.git(t, "tag", "v1.0.1")
	r.check(t, "v1.0.1", `"## 1.0.1"`)
	r.release(t, "v1.0.1")
	r.released(t, first, "v1.0.1")
	r.released(t, second, "v1.1.0", "v1")
}

// TestATagThatCannotBeReleasedIsRefusedFirst: GitHub would refuse the push of the tags when the image is public already.
func TestATagThatCannotBeReleasedIsRefusedFirst(t *testing.T) {
	r := newRepository(t)
	r.tag(t, "v1.0.0")
	write(t, r.dir, ".github/workflows/ci.yml", "on: push\n")
	r.commit(t, "1.1.0")
	r.git(t, "push", "--quiet", "origin", "main")
	r.git(t, "checkout", "--quiet", "v1.0.0")
	r.check(t, "v1.0.0", "origin/main has other workflows than v1.0.0")

	r.git(t, "checkout", "--quiet", "-b", "unmerged", "main")
	r.commit(t, "1.2.0")
	r.check(t, "v1.2.0", "v1.2.0 is on a commit that is not in origin/main")
	r.check(t, "v1.2.0-rc.1", "is no tag of a release")
}

// repository is a checkout, and origin is its bare repository.
type repository struct{ dir, origin string }

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t.TempDir(), t.TempDir()}
	r.git(t, "init", "--quiet", "--bare", r.origin)
	r.git(t, "init", "--quiet", "--initial-branch", "main")
	r.git(t, "remote", "add", "origin", r.origin)
	for _, name := range []string{"action.yml", "go.mod", "go.sum", "internal/release/main.go", ".github/workflows/release.yml"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, r.dir, name, string(content))
	}
	r.commit(t, "0.1.0")
	return r
}

// commit makes a commit with a section of a version in the changelog.
func (r repository) commit(t *testing.T, version string) {
	t.Helper()
	write(t, r.dir, "docs/changelog.md", "# Changelog\n\n## "+version+"\n\n- New.\n")
	r.git(t, "add", "--all")
	r.git(t, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", version)
}

// tag pushes a commit to main, and a version's tag on it, as a person does. It returns the commit.
func (r repository) tag(t *testing.T, tag string) string {
	t.Helper()
	r.git(t, "checkout", "--quiet", "main")
	r.commit(t, tag[1:])
	r.git(t, "tag", tag)
	r.git(t, "push", "--quiet", "--force", "origin", "main", tag)
	return r.git(t, "rev-parse", "HEAD")
}

// check runs the first job's check, and looks for an error in what it says. No error is "".
func (r repository) check(t *testing.T, tag, want string) {
	t.Helper()
	said, err := r.run(t, "check", checkTag, tag, "BRANCH=origin/main")
	if (err == nil) != (want == "") || !strings.Contains(said, want) {
		t.Errorf("the check of %s ended with %v, want %q in\n%s", tag, err, want, said)
	}
}

// release runs the steps that need nothing but git and Go.
func (r repository) release(t *testing.T, tag string) {
	t.Helper()
	r.git(t, "checkout", "--quiet", "--detach", tag)
	for _, step := range []string{nameImage, moveTags} {
		if said, err := r.run(t, "release", step, tag, "IMAGE="+releasedImage); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, said)
		}
	}
}

// released checks that the tags of origin are on one commit, whose parent is a commit of main, which differs from it in the image.
func (r repository) released(t *testing.T, parent string, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		at := func(args ...string) string {
			return r.git(t, slices.Concat([]string{"--git-dir", r.origin}, args)...)
		}
		if got := at("rev-parse", tag+"^{commit}^"); got != parent {
			t.Errorf("%s is on a child of %s, want of %s", tag, got, parent)
		}
		if got, want := at("rev-parse", tag), at("rev-parse", tags[0]); got != want {
			t.Errorf("%s is on %s, and %s on %s", tag, got, tags[0], want)
		}
		if branches := at("branch", "--contains", tag); branches != "" {
			t.Errorf("%s is on the branch %s", tag, branches)
		}
		if got := at("diff", "--unified=0", parent, tag); !strings.Contains(got, "a/action.yml") || strings.Count(got, "diff --git") != 1 ||
			!strings.HasSuffix(got, "\n-  image: Dockerfile\n+  image: docker://"+releasedImage) {
			t.Errorf("%s changes\n%s", tag, got)
		}
	}
}

func (r repository) git(t *testing.T, args ...string) string {
	t.Helper()
	git := exec.Command("git", args...)
	git.Dir = r.dir
	out, err := git.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", git, err, out)
	}
	return strings.TrimSpace(string(out))
}

// run runs the script of a step as a runner does, and returns what it says.
func (r repository) run(t *testing.T, job, name, tag string, env ...string) (string, error) {
	t.Helper()
	workflow := parse(t, "release.yml")
	if shell := workflow.Defaults.Run.Shell.Value; shell != "bash" {
		t.Fatalf("the scripts run in %s", shell)
	}
	for _, step := range workflow.Jobs[job].Steps {
		if step.Name == nil || step.Name.Value != name {
			continue
		}
		script := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Exec.(*actionlint.ExecRun).Run.Value)
		script.Dir = r.dir
		script.Env = append(script.Environ(), "GITHUB_REPOSITORY=OpenHands/eval-images", "GITHUB_REF_NAME="+tag)
		script.Env = append(script.Env, env...)
		out, err := script.CombinedOutput()
		return string(out), err
	}
	t.Fatalf("the job %s has no step %q", job, name)
	return "", nil
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
