package sdkrepo

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var pinned = regexp.MustCompile(`^openhands-(agent-server|sdk|tools|workspace)==(\d+\.\d+\.\d+) --hash=sha256:[0-9a-f]{64}$`)

// releases returns the versions in the recipe, oldest first, and the packages of each.
func releases(t *testing.T) (versions []string, packages map[string][]string) {
	t.Helper()
	return pinnedIn(t, "image/recipe/sdists.txt")
}

func pinnedIn(t *testing.T, path string) (versions []string, packages map[string][]string) {
	t.Helper()
	list, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packages = map[string][]string{}
	for line := range strings.Lines(string(list)) {
		found := pinned.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			t.Fatalf("%q pins no package", line)
		}
		if !slices.Contains(versions, found[2]) {
			versions = append(versions, found[2])
		}
		packages[found[2]] = append(packages[found[2]], found[1])
	}
	return versions, packages
}

func TestReleasesAreWhole(t *testing.T) {
	versions, packages := releases(t)
	for _, version := range versions {
		slices.Sort(packages[version])
		want := []string{"agent-server", "sdk", "tools", "workspace"}
		if diff := cmp.Diff(want, packages[version]); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
	}
}

func TestWheelsAreOfTheNewestReleases(t *testing.T) {
	versions, packages := pinnedIn(t, "releases/releases.txt")
	for _, version := range versions {
		if diff := cmp.Diff([]string{"agent-server", "sdk"}, packages[version]); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
	}
	if newest := "v" + versions[len(versions)-1]; newest != Refs[0] {
		t.Errorf("the newest is %s, want that of the repository, %s", newest, Refs[0])
	}
}

func TestRefsAreReleases(t *testing.T) {
	versions, _ := releases(t)
	if newest := "v" + versions[len(versions)-1]; Refs[0] != newest {
		t.Errorf("the newest ref is %s, want the recipe's %s", Refs[0], newest)
	}
	for _, ref := range Refs {
		if !slices.Contains(versions, strings.TrimPrefix(ref, "v")) {
			t.Errorf("the recipe does not make %s", ref)
		}
	}
}

// TestServedRepository reads from the running lab, as git clients do.
func TestServedRepository(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the lab")
	}
	versions, _ := releases(t)
	sha := map[string]string{}
	for line := range strings.Lines(git(t, "ls-remote", "--tags", url)) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		sha[strings.TrimPrefix(name, "refs/tags/v")] = id
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			folder := t.TempDir()
			git(t, "init", "--quiet", folder)
			git(t, "-C", folder, "fetch", "--quiet", "--depth=1", url, sha[version])
			for _, member := range []string{"sdk", "tools", "workspace", "agent-server"} {
				project := git(t, "-C", folder, "show", "FETCH_HEAD:openhands-"+member+"/pyproject.toml")
				if !strings.Contains(project, `version = "`+version+`"`) {
					t.Errorf("openhands-%s is not %s:\n%s", member, version, project)
				}
			}
			if lock := git(t, "-C", folder, "show", "FETCH_HEAD:uv.lock"); !strings.Contains(lock, `name = "openhands-agent-server"`) {
				t.Error("the lock does not know the workspace's members")
			}
		})
	}
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s\nhint: make lab", strings.Join(args, " "), err, problems.String())
	}
	return string(out)
}
