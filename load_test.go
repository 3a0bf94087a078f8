package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// standInLoad is the docker command: it writes down the tags of what it is told to load, and refuses to push.
const standInLoad = `#!/bin/sh
[ "$2" = build ] || exit 0
[ "$DOCKER_DEFAULT_PLATFORM" = linux/amd64 ] || exit 1
case " $* " in *" --push "*|*type=registry,*mode=*) echo "ERROR: nobody asked for a push" >&2; exit 1 ;; *" --load "*) ;; *) exit 1 ;; esac
while [ $# -gt 0 ]; do
	[ "$1" != --tag ] || echo "$2" >>"$HOME/loaded"
	shift
done
`

// Images are loaded into the engine without a registry: that of the image's name does not exist. A second run finds them there.
func TestLoadNeedsNoRegistry(t *testing.T) {
	bin, sdk := standIns(t)
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(standInLoad), 0o755); err != nil {
		t.Fatal(err)
	}
	bases := httptest.NewServer(http.HandlerFunc(hasEveryImage))
	t.Cleanup(bases.Close)
	host := strings.TrimPrefix(bases.URL, "http://")
	tags := ""
	for _, want := range []outcome.Status{outcome.Built, outcome.Skipped} {
		p := newProcess(t, "eval-images", "--load", "--sdk-repository", "file://"+sdk, "--sdk-ref", "main", "--builder", "tcp://"+host,
			"--image", "registry.invalid/me/eval", "--base-image-template", host+"/bases/{instance_id}:latest",
			"--instance-ids", "django__django-11133,sympy__sympy-20590", "--max-retries", "0")
		loaded := filepath.Join(p.dir, "loaded")
		if err := os.WriteFile(loaded, []byte(tags), 0o644); err != nil {
			t.Fatal(err)
		}
		p.Env = append(p.Env, "DOCKER_HOST="+dockerEngine(t, loaded))
		p.Env[0] = "PATH=" + bin + ":" + os.Getenv("PATH")
		out, err := p.CombinedOutput()
		if err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		entries, err := ledger.Read(filepath.Join(p.Dir, "builds/princeton-nlp/SWE-bench_Verified/test", ledger.FileName))
		if err != nil || len(entries) != 2 {
			t.Fatalf("the ledger has %d images, %v:\n%s", len(entries), err, out)
		}
		for _, e := range entries {
			if e.Status != want || len(e.Tags) != 2 || !strings.HasPrefix(e.Tags[0], "registry.invalid/me/eval:") {
				t.Errorf("%s is %s with tags %q, want %s", e.InstanceID, e.Status, e.Tags, want)
			}
			tags += strings.Join(e.Tags, "\n") + "\n"
		}
		if strings.Contains(string(out), "No image can be pushed") {
			t.Errorf("the right to push is asked for:\n%s", out)
		}
	}
}

// An image that the engine lacks after its build is not told to exist.
func TestLoadLooksWhetherTheEngineHasTheImage(t *testing.T) {
	bin, sdk := standIns(t)
	broken := strings.Replace(standInLoad, `>>"$HOME/loaded"`, ">/dev/null", 1)
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(broken), 0o755); err != nil {
		t.Fatal(err)
	}
	bases := httptest.NewServer(http.HandlerFunc(hasEveryImage))
	t.Cleanup(bases.Close)
	host := strings.TrimPrefix(bases.URL, "http://")
	p := newProcess(t, "eval-images", "--load", "--sdk-repository", "file://"+sdk, "--sdk-ref", "main", "--builder", "tcp://"+host,
		"--base-image-template", host+"/bases/{instance_id}:latest", "--instance-ids", "django__django-11133", "--max-retries", "0")
	p.Env = append(p.Env, "DOCKER_HOST="+dockerEngine(t, filepath.Join(p.dir, "loaded")))
	p.Env[0] = "PATH=" + bin + ":" + os.Getenv("PATH")
	out, _ := p.CombinedOutput()
	if want := "the build succeeded, but the engine does not have the image"; p.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) {
		t.Errorf("ended with %d:\n%s", p.ProcessState.ExitCode(), out)
	}
}
