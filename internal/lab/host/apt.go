package host

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Install installs the Debian packages of those commands that are missing. The map gives the package of each command.
func Install(ctx context.Context, log io.Writer, commands map[string]string) error {
	missing := map[string]bool{}
	for command, pkg := range commands {
		if _, err := exec.LookPath(command); err != nil {
			missing[pkg] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	packages := slices.Sorted(maps.Keys(missing))
	fmt.Fprintln(log, "installing", strings.Join(packages, ", "))
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	return apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, packages...)...)
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
