// Command eval-images makes sure that every SWE-Bench or SWT-Bench evaluation image exists in a registry for one ref of
// the OpenHands software-agent-sdk. It is a GitHub Actions container action, and the same on a command line.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/OpenHands/eval-images/internal/pipeline"
)

func main() {
	// A runner sends SIGINT, then SIGTERM 7.5 s later, then kills 2.5 s after that (actions/runner, ProcessInvoker.cs).
	// Both mean the same here; the second one must not cut off the report that the first one asked for.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, "finding the working directory:", err)
		os.Exit(pipeline.ExitSetup)
	}
	program := pipeline.Run
	if filepath.Base(os.Args[0]) == pipeline.PostName {
		program = pipeline.Post
	}
	os.Exit(program(ctx, pipeline.Process{
		Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, Dir: dir,
	}))
}
