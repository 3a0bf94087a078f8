// Command shim stands in front of runc on a machine that lacks capabilities itself, as a container or a small virtual
// machine may. There runc refuses every privileged container, because it may not hand out what it does not have. The
// shim takes from the container's configuration the capabilities that this process cannot give, and then becomes runc.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if err := trim(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trimming capabilities:", err)
		os.Exit(1)
	}
	runc, err := exec.LookPath("runc")
	if err == nil {
		err = syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "starting runc:", err)
	os.Exit(1)
}
