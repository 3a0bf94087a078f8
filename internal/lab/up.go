package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/action"
	"github.com/OpenHands/eval-images/internal/lab/bases"
	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/host"
	"github.com/OpenHands/eval-images/internal/lab/sdkrepo"
	"github.com/OpenHands/eval-images/internal/lab/services"
	"github.com/OpenHands/eval-images/internal/lab/standin"
)

// parts come up in this order. Each may need those before it.
var parts = []engine.Part{
	host.Part,         // everything below is a container or an image
	standin.Local,     // what services and Dockerfiles start from
	standin.Buildx,    // where the host has none; compiled with the images
	services.Network,  // of all containers
	services.Registry, // behind registry.local:5000 and 127.0.0.1
	standin.Mirrors,   // docker.io and ghcr.io for BuildKit
	services.Builder,  // adoptable by name
	services.Endpoint, // for the host
	bases.Part,
	sdkrepo.Part,
	action.Part, // last: its sources change most often
}

func up(ctx context.Context, e *engine.Engine, out io.Writer) error {
	unlock, err := lock(ctx, e, out)
	if err != nil {
		return err
	}
	defer unlock()
	for _, part := range parts {
		begin := time.Now()
		fmt.Fprintf(out, "==> lab: %s\n", part.Name)
		if err := part.Up(ctx, e, engine.Indented(out, "    ")); err != nil {
			return fmt.Errorf("bringing up the %s: %w", part.Name, err)
		}
		fmt.Fprintf(out, "==> lab: %s is up (%.1f s)\n", part.Name, time.Since(begin).Seconds())
	}
	return keepEnv(e)
}

func down(ctx context.Context, e *engine.Engine, out io.Writer) error {
	unlock, err := lock(ctx, e, out)
	if err != nil {
		return err
	}
	defer unlock()
	if err := forgetEnv(e); err != nil {
		return err
	}
	if _, err := e.Output(ctx, "version"); err != nil {
		fmt.Fprintln(out, "no Docker Engine answers: nothing runs")
		return nil
	}
	if err := services.Down(ctx, e); err != nil {
		return fmt.Errorf("removing the lab's containers: %w", err)
	}
	return host.Stop(ctx, e)
}

// lock keeps two commands from changing the lab at once. The kernel releases the lock of a killed one.
func lock(ctx context.Context, e *engine.Engine, out io.Writer) (unlock func() error, err error) {
	file, err := os.OpenFile(filepath.Join(e.Cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the lab: %w", err)
	}
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the lab: %w", err)
		}
		if !waiting {
			fmt.Fprintln(out, "waiting for another lab command to end")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
