package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/OpenHands/eval-images/internal/lab/bench"
	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// runBench measures the main job. The output of the runs goes to a file; the tables are printed.
func runBench(ctx context.Context, e *engine.Engine, out io.Writer, part string) error {
	lab, err := variables(e, parts)
	if err != nil {
		return err
	}
	ids, err := firstLines(lab["LAB_INSTANCES"], 12)
	if err != nil {
		return err
	}
	workspace := filepath.Join(e.Cache, "bench")
	if err := os.RemoveAll(workspace); err != nil {
		return fmt.Errorf("emptying the bench's workspace: %w", err)
	}
	if err := os.MkdirAll(workspace, 0o755); err != nil {
		return fmt.Errorf("making the bench's workspace: %w", err)
	}
	log, err := os.Create(filepath.Join(e.Cache, "bench.log"))
	if err != nil {
		return fmt.Errorf("opening the bench's log: %w", err)
	}
	defer log.Close()
	fmt.Fprintln(out, "==> bench: what the runs print is in", log.Name())
	return bench.Run(ctx, bench.Lab{
		Values: lab, ActionFile: filepath.Join(e.Checkout, "action.yml"), Workspace: workspace, Instances: ids, Part: part, Log: log,
	}, out)
}
