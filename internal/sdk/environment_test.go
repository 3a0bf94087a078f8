package sdk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// uv is run as the SDK wants it, with everything but the checkout outside of it, and left without our secrets.
func TestEnvironmentAndSdistCommands(t *testing.T) {
	dir := t.TempDir()
	shim := "#!/bin/sh\nfor last; do :; done\n" +
		"{ echo \"$PWD: $*\"; env | grep -E '^(UV_|INPUT_|VIRTUAL_ENV|GITHUB_)' | sort; } >>" + filepath.Join(dir, "said") + "\n" +
		"case $1 in build) for n in $TARBALLS; do echo x >$last/$n.tar.gz; done; touch $last/.gitignore;; esac\n"
	for _, folder := range []string{"bin", "sdk"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	checkout := Checkout{Dir: dir, Root: filepath.Join(dir, "sdk")}
	cmds := Commands{Environ: []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "INPUT_REGISTRY-PASSWORD=secret", "INPUT_X=secret",
		"GITHUB_TOKEN=secret", "VIRTUAL_ENV=/v", "UV_PYTHON=3.9", "UV_CACHE_DIR=/c"}}
	uvMaking := func(tarballs string) {
		text := strings.ReplaceAll(shim, "$TARBALLS", tarballs)
		if err := os.WriteFile(filepath.Join(dir, "bin", "uv"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	uvMaking("unknown-0.0.0")
	environment, err := checkout.Environment(t.Context(), cmds)
	if err != nil || environment.Python != dir+"/venv/bin/python" || len(environment.PythonPath) != 1 || environment.PythonPath[0] != dir+"/sdk/openhands-agent-server" {
		t.Errorf("Environment = %+v, %v", environment, err)
	}
	sdist, err := checkout.Sdist(t.Context(), cmds, filepath.Join(dir, "one"))
	const ofX = "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac" // echo x | sha256sum
	if err != nil || sdist.Path != dir+"/one/unknown-0.0.0.tar.gz" || sdist.SHA256 != ofX {
		t.Errorf("Sdist = %+v, %v", sdist, err)
	}
	want := strings.ReplaceAll("@/sdk: sync --frozen --no-dev --package openhands-sdk\n"+
		"UV_CACHE_DIR=/c\nUV_PROJECT_ENVIRONMENT=@/venv\nUV_PYTHON=3.13\nUV_PYTHON_DOWNLOADS=never\n"+
		"@/sdk: build --sdist --out-dir @/one\nUV_CACHE_DIR=/c\nUV_PYTHON=3.13\nUV_PYTHON_DOWNLOADS=never\n", "@", dir)
	if got := readFile(t, filepath.Join(dir, "said")); got != want {
		t.Errorf("uv was run so:\n%s\nwant\n%s", got, want)
	}

	for tarballs, cause := range map[string]string{"": "left 0 tarballs", "a b": "left 2 tarballs"} {
		uvMaking(tarballs)
		_, err := checkout.Sdist(t.Context(), cmds, filepath.Join(t.TempDir(), "sdist"))
		var failed *SetupError
		if !errors.As(err, &failed) || !strings.Contains(failed.Cause, cause) {
			t.Errorf("err = %v, want a SetupError: %s", err, cause)
		}
	}
}
