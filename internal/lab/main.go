// Command lab brings up real parts on loopback for tests, the demo and development: an engine, a registry, BuildKit, base
// images, an SDK and the action's own image.
//
//	go run -C internal/lab . up      start every part that does not run as this checkout needs it
//	go run -C internal/lab . env     print the LAB_ variables as shell assignments
//	go run -C internal/lab . demo    run the main job as a runner would
//	go run -C internal/lab . bench   measure the main job; bench native and bench rebase run one half each
//	go run -C internal/lab . down    stop everything; the cache stays
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/OpenHands/eval-images/internal/lab/bench"
	"github.com/OpenHands/eval-images/internal/lab/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A root shell does not always look where Debian puts daemons and debootstrap.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, *engine.Engine, io.Writer) error{"up": up, "env": env, "down": down, "demo": demo, "bench": benchOf("")}
	for _, part := range bench.Parts {
		commands["bench "+part] = benchOf(part)
	}
	command := commands[strings.Join(args, " ")]
	if command == nil {
		return fmt.Errorf("usage: go run -C internal/lab . up | env | down | demo | bench [%s]", strings.Join(bench.Parts, " | "))
	}
	checkout, err := checkout()
	if err != nil {
		return err
	}
	e, err := engine.New(checkout)
	if err != nil {
		return err
	}
	return command(ctx, e, out)
}

// checkout finds the repository: the folder that go.mod puts in the product's place.
func checkout() (string, error) {
	folder, err := engine.Run(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/OpenHands/eval-images"), nil)
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	return folder, nil
}

func benchOf(part string) func(context.Context, *engine.Engine, io.Writer) error {
	return func(ctx context.Context, e *engine.Engine, out io.Writer) error { return runBench(ctx, e, out, part) }
}
