package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/OpenHands/eval-images/internal/pipeline"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"eval-images": main, pipeline.PostName: main})
}

// TestScripts holds the command's contract: what it prints, which files it writes, with which code it ends.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// Temporary folders must be gone at the end of a script, so each has a place of its own for them.
			e.Setenv("TMPDIR", e.WorkDir+"/tmp")
			e.Setenv("HOME", e.WorkDir)
			return os.MkdirAll(e.WorkDir+"/tmp", 0o755)
		},
	})
}
