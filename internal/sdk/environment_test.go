package sdk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// uvShim is a uv that writes down how it was run, with what of the environment a caller could steer it by, and makes the
// sdists that $SDISTS names: of the folder that it runs in, or with an other Dockerfile, with none, or unreadable ones.
const uvShim = `#!/bin/sh
here=$(dirname "$0")
{ echo "$PWD: $*"; env | grep -E '^(UV_|INPUT_|VIRTUAL_ENV|GITHUB_|GIT_|PYTHON)' | sort; } >>"$here/../said"
case "$1 $2" in
"python find") test ! -e "$here/../no-$4" || { echo "error: No interpreter found for Python $4" >&2; exit 2; }; exit;;
"python install") rm -f "$here/../no-$4";;
esac
test "$1" = build || exit 0
for out; do :; done
for sdist in $SDISTS; do
	unpacked=$(mktemp -d "$here/XXXXXX")
	cp -R . "$unpacked/unknown-0.0.0"
	file=$unpacked/unknown-0.0.0/openhands-agent-server/openhands/agent_server/docker/Dockerfile
	case $sdist in other) echo FROM other >"$file";; without) rm "$file";; esac
	tar -C "$unpacked" -czf "$out/$sdist.tar.gz" unknown-0.0.0
	test $sdist != unreadable || echo no archive >"$out/$sdist.tar.gz"
done
touch "$out/.gitignore"
`

// uvFixture is a checkout, and commands with a fake uv that makes these sdists.
func uvFixture(t *testing.T) (c Checkout, cmds Commands, making func(sdists string)) {
	t.Helper()
	dir := t.TempDir()
	c = Checkout{Dir: dir, Root: filepath.Join(dir, "sdk")}
	file := filepath.Join(c.Root, dockerfilePath)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.MkdirAll(filepath.Dir(file), 0o755),
		os.WriteFile(file, []byte("FROM scratch\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	c.DockerfileSHA256 = fmt.Sprintf("%x", sha256.Sum256([]byte("FROM scratch\n")))
	cmds.Environ = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
	return c, cmds, func(sdists string) {
		text := strings.ReplaceAll(uvShim, "$SDISTS", sdists)
		if err := os.WriteFile(filepath.Join(dir, "bin", "uv"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// uv is run as the SDK wants it, with everything but the checkout outside of it. Of the caller's environment it gets no
// secret, and nothing by which it would work on something else than the checkout, or leave out a part of it.
func TestEnvironmentAndSdistCommands(t *testing.T) {
	checkout, cmds, making := uvFixture(t)
	cmds.Environ = append(cmds.Environ, "INPUT_REGISTRY-PASSWORD=secret", "INPUT_X=secret", "GITHUB_TOKEN=secret",
		"VIRTUAL_ENV=/v", "GIT_DIR=/other", "GIT_WORK_TREE=/other", "PYTHONPATH=/other", "PYTHONHOME=/other",
		"UV_PROJECT=/other", "UV_WORKING_DIR=/other", "UV_WORKING_DIRECTORY=/other", "UV_CONFIG_FILE=/other", "UV_ENV_FILE=/other",
		"UV_NO_INSTALL_WORKSPACE=1", "UV_NO_SOURCES=1", "UV_REQUIRE_HASHES=1", "UV_BUILD_CONSTRAINT=/c", "UV_NO_EDITABLE=1",
		"UV_FROZEN=0", "UV_PYTHON=3.9", "UV_PROJECT_ENVIRONMENT=/other", "UV_HTTPX=1", "UV_PUBLISH_TOKEN=secret", "UV_INDEXES=1")
	passed := []string{
		"UV_CACHE_DIR=/c", "UV_CONCURRENT_BUILDS=2", "UV_DEFAULT_INDEX=i", "UV_EXTRA_INDEX_URL=e", "UV_FIND_LINKS=f",
		"UV_HTTP_TIMEOUT=9", "UV_INDEX=i", "UV_INDEX_MINE_PASSWORD=p", "UV_INDEX_MINE_USERNAME=u", "UV_INDEX_URL=i",
		"UV_KEYRING_PROVIDER=k", "UV_LINK_MODE=copy", "UV_NATIVE_TLS=1", "UV_NO_CACHE=1", "UV_OFFLINE=1",
	}
	mirrors := []string{"UV_PYTHON_DOWNLOADS_JSON_URL=j", "UV_PYTHON_INSTALL_DIR=d", "UV_PYTHON_INSTALL_MIRROR=m", "UV_SYSTEM_CERTS=1"}
	cmds.Environ = append(append(cmds.Environ, passed...), mirrors...)

	making("unknown-0.0.0")
	environment, err := checkout.Environment(t.Context(), cmds, SDKPackage)
	if err != nil || environment.Python != checkout.Dir+"/venv/bin/python" || len(environment.PythonPath) != 1 ||
		environment.PythonPath[0] != checkout.Root+"/openhands-agent-server" {
		t.Errorf("Environment = %+v, %v", environment, err)
	}
	sdist, err := checkout.Sdist(t.Context(), cmds, filepath.Join(checkout.Dir, "one"))
	if err != nil || sdist.Path != checkout.Dir+"/one/unknown-0.0.0.tar.gz" {
		t.Fatalf("Sdist = %+v, %v", sdist, err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(readFile(t, sdist.Path)))); sdist.SHA256 != sum {
		t.Errorf("SHA256 = %s, want the file's, %s", sdist.SHA256, sum)
	}
	seen := func(own string) string {
		return strings.Join(passed, "\n") + own + "\nUV_PYTHON=3.13\nUV_PYTHON_DOWNLOADS=never\n" + strings.Join(mirrors, "\n") + "\n"
	}
	want := strings.ReplaceAll("@/sdk: python find --no-project 3.13\n"+seen("")+
		"@/sdk: sync --frozen --no-dev --package openhands-sdk\n"+seen("\nUV_PROJECT_ENVIRONMENT=@/venv")+
		"@/sdk: build --sdist --out-dir @/one\n"+seen(""), "@", checkout.Dir)
	if got := readFile(t, filepath.Join(checkout.Dir, "said")); got != want {
		t.Errorf("uv was run so:\n%s\nwant\n%s", got, want)
	}
}

// The SDK names its Python. Where this machine lacks it, uv fetches it, and says so.
func TestPythonOfTheSDK(t *testing.T) {
	cases := []struct {
		name, names string // what .python-version has
		lacks, want string
	}{
		{"no file", "", "", "3.13"},
		{"another version", "# The agent server's.\n\n 3.14.1 \n", "", "3.14.1"},
		{"one that is not installed", "3.14\n", "3.14", "3.14"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			checkout, cmds, making := uvFixture(t)
			making("")
			files := map[string]string{}
			if c.names != "" {
				files[filepath.Join(checkout.Root, ".python-version")] = c.names
			}
			if c.lacks != "" {
				files[filepath.Join(checkout.Dir, "no-"+c.lacks)] = ""
			}
			for path, text := range files {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := checkout.Environment(t.Context(), cmds, SDKPackage)
			if err != nil || got.Version != c.want || got.Fetched != (c.lacks != "") {
				t.Fatalf("Environment = %+v, %v; want version %s, fetched %t", got, err, c.want, c.lacks != "")
			}
			said := readFile(t, filepath.Join(checkout.Dir, "said"))
			installed := strings.Contains(said, "python install --no-bin "+c.lacks+"\nUV_PYTHON="+c.lacks+"\nUV_PYTHON_DOWNLOADS=manual\n")
			if installed != (c.lacks != "") || !strings.Contains(said, "openhands-sdk\nUV_PROJECT_ENVIRONMENT="+checkout.Dir+"/venv\nUV_PYTHON="+c.want+"\nUV_PYTHON_DOWNLOADS=never\n") {
				t.Errorf("uv was run so:\n%s", said)
			}
		})
	}
}

// An sdist that cannot be of the checkout is told from one that could only not be made: images must not be built then.
func TestSdistIsTheCheckouts(t *testing.T) {
	cases := []struct {
		sdists, cause string
		foreign       bool
	}{
		{"", "left 0 tarballs", false},
		{"a b", "left 2 tarballs", false},
		{"unreadable", "reading ", false},
		{"without", "it has no " + dockerfilePath, true},
		{"other", "the SHA-256 of its Dockerfile is ", true},
	}
	for _, c := range cases {
		t.Run(c.sdists, func(t *testing.T) {
			checkout, cmds, making := uvFixture(t)
			making(c.sdists)
			_, err := checkout.Sdist(t.Context(), cmds, filepath.Join(t.TempDir(), "sdist"))
			var failed *SetupError
			if !errors.As(err, &failed) || !strings.Contains(failed.Cause, c.cause) || errors.Is(err, ErrForeignSdist) != c.foreign {
				t.Fatalf("err = %v, want a SetupError: %s, foreign: %t", err, c.cause, c.foreign)
			}
			if c.foreign && !strings.Contains(failed.Hint(), "uv.toml") {
				t.Errorf("hint = %q, want what can lead uv elsewhere", failed.Hint())
			}
		})
	}
}
