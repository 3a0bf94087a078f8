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

	"github.com/OpenHands/eval-images/internal/cmd"
)

func main() {
	// A runner sends SIGINT, then SIGTERM 7.5 s later, then kills 2.5 s after that (actions/runner, ProcessInvoker.cs). A
	// terminal that closes sends SIGHUP. All mean the same here; a second one must not cut off the report that the first
	// one asked for.
	cancels := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		cancels = append(cancels, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), cancels...)
	defer stop()
	// A write to a pipe that nobody reads, or of a file larger than ulimit -f allows, must fail and not end the process: it
	// would leave credentials and child processes behind. Ignored signals are inherited by child processes, which then do
	// not end when their reader does; handled ones are not inherited (signal(7)).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, "finding the working directory:", err)
		os.Exit(cmd.ExitSetup)
	}
	program := cmd.Run
	if filepath.Base(os.Args[0]) == cmd.PostName {
		program = cmd.Post
	}
	environ := os.Environ()
	for _, name := range cmd.SecretVariables(environ) {
		os.Unsetenv(name)
	}
	os.Exit(program(ctx, cmd.Process{
		Args: os.Args[1:], Environ: environ, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Dir: dir,
	}))
}
