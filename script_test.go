package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/OpenHands/eval-images/internal/cmd"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"eval-images": main, cmd.PostName: main, "standin-push": standInPush})
}

// TestScripts holds the command's contract: what it prints, which files it writes, with which code it ends.
func TestScripts(t *testing.T) {
	hub := hubtest.New(t)
	for _, name := range []string{"princeton-nlp/SWE-bench_Verified", "eth-sri/SWT-bench_Verified_bm25_27k_zsp"} {
		ids, err := dataset.Embedded(name, "test")
		if err != nil {
			t.Fatal(err)
		}
		hub.Add(name, hubtest.Whole(t, "test", ids))
	}
	hub.Add("a/renamed", hubtest.Whole(t, "test", []string{"x__y-2", "x__y-1"}))
	hub.Rename("a/renamed", "a/b")
	full := httptest.NewServer(http.HandlerFunc(hasEveryImage))
	t.Cleanup(full.Close)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// Temporary folders must be gone at the end of a script, so each has a place of its own for them.
			e.Setenv("TMPDIR", e.WorkDir+"/tmp")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("HF_ENDPOINT", hub.URL)
			e.Setenv("FULL_REGISTRY", strings.TrimPrefix(full.URL, "http://"))
			return errors.Join(os.MkdirAll(e.WorkDir+"/tmp", 0o755),
				os.CopyFS(e.WorkDir+"/fakesdk", os.DirFS("internal/sdk/testdata/fakesdk")))
		},
	})
}

// hasEveryImage answers as a registry that has every image, all on one digest, except those of nobody, and takes uploads. Those of
// private need a login, and pulls of those of metered are counted.
func hasEveryImage(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "/nobody/"):
		http.NotFound(w, r)
		return
	case strings.Contains(r.URL.Path, "/private/"):
		w.WriteHeader(http.StatusUnauthorized)
		return
	case strings.Contains(r.URL.Path, "/metered/"):
		w.Header().Set("Ratelimit-Limit", "100;w=21600")
		w.Header().Set("Ratelimit-Remaining", "3;w=21600")
	case r.Method == http.MethodPost:
		w.Header().Set("Location", r.URL.Path+"1")
		w.WriteHeader(http.StatusAccepted)
	}
	if strings.Contains(r.URL.Path, "/manifests/") {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "1")
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	}
}
