// Command lab brings up real parts on loopback for tests, the demo and development: an engine, a registry, BuildKit, base
// images, an SDK and the action's own image.
//
//	go run -C internal/lab . up      start every part that does not run as this checkout needs it
//	go run -C internal/lab . env     print the LAB_ variables as shell assignments
//	go run -C internal/lab . demo    run the main job as a runner would
//	go run -C internal/lab . bench   measure the main job; bench native and bench rebase run one half each
//	go run -C internal/lab . soak    make images for 30 minutes while everything fails; -time 5m for less
//	go run -C internal/lab . down    stop everything; the cache stays
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A root shell may lack the folders of daemons and debootstrap.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	checkout, err := checkout()
	if err != nil {
		return err
	}
	e, err := engine.New(checkout)
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "soak" {
		return runSoak(ctx, e, out, args[1:])
	}
	switch strings.Join(args, " ") {
	case "up":
		return up(ctx, e, out)
	case "env":
		return env(ctx, e, out)
	case "demo":
		return demo(ctx, e, out)
	case "bench":
		return runBench(ctx, e, out, "")
	case "bench native", "bench rebase":
		return runBench(ctx, e, out, args[1])
	case "down":
		return down(ctx, e, out)
	default:
		return errors.New("usage: go run -C internal/lab . up | env | demo | bench [native | rebase] | soak | down")
	}
}

// checkout returns the root of the repository: the folder that go.mod names as the product's replacement.
func checkout() (string, error) {
	folder, err := engine.Run(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/OpenHands/eval-images"), nil)
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	return folder, nil
}
