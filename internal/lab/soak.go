package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/soak"
)

// runSoak makes images while everything fails. The output of the runs goes to a file; what came of it is printed.
func runSoak(ctx context.Context, e *engine.Engine, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	limit := flags.Duration("time", 30*time.Minute, "how long")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "of the random faults and moments")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("usage: go run -C internal/lab . soak [-time 30m] [-seed N]")
	}
	lab, err := variables(e, parts)
	if err != nil {
		return err
	}
	ids, err := firstLines(lab["LAB_INSTANCES"], 12)
	if err != nil {
		return err
	}
	workspace, err := os.MkdirTemp(e.Cache, "soak-")
	if err != nil {
		return fmt.Errorf("making the soak's workspace: %w", err)
	}
	defer os.RemoveAll(workspace)
	log, err := os.Create(filepath.Join(e.Cache, "soak.log"))
	if err != nil {
		return fmt.Errorf("opening the soak's log: %w", err)
	}
	defer log.Close()
	fmt.Fprintln(out, "==> soak: what the runs print is in", log.Name())
	return soak.Run(ctx, soak.Lab{
		Values: lab, ActionFile: filepath.Join(e.Checkout, "action.yml"), Workspace: workspace, Instances: ids, Log: log,
	}, *limit, *seed, out)
}
