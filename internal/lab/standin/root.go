package standin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/host"
)

const suite = "trixie"

// packages are the Debian packages of the root, which serves as debian, as python, and as the base of all other
// stand-ins.
var packages = []string{"ca-certificates", "curl", "git", "python3", "python3-pip", "python3-venv"}

// bundle is this machine's list of certificate authorities. Behind an intercepting proxy, containers need the proxy's
// certificate, too.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

func rootKey() string {
	certificates, _ := os.ReadFile(bundle) // a machine may have none
	return engine.Key(suite, strings.Join(packages, " "), string(certificates))
}

// debianRoot returns an archive of a Debian root.
func debianRoot(ctx context.Context, e *engine.Engine, log io.Writer) (string, error) {
	return e.Cached(suite, rootKey(), func(archive string) error {
		if os.Getuid() != 0 {
			return errors.New("making a Debian root: only root can\nhint: run the lab as root, or where docker can pull")
		}
		begin := time.Now()
		root := filepath.Join(e.Cache, suite+".root")
		if err := debootstrap(ctx, root, log); err != nil {
			return err
		}
		if _, err := engine.Run(exec.CommandContext(ctx, "tar", "--numeric-owner", "-C", root, "-cf", archive, "."), nil); err != nil {
			return fmt.Errorf("packing the Debian root: %w", err)
		}
		fmt.Fprintf(log, "made a Debian root in %.0f s\n", time.Since(begin).Seconds())
		return os.RemoveAll(root)
	})
}

func debootstrap(ctx context.Context, root string, log io.Writer) error {
	if err := host.Install(ctx, log, map[string]string{"debootstrap": "debootstrap"}); err != nil {
		return err
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("removing a half-made Debian root: %w", err)
	}
	args := []string{"--variant=minbase", "--include=" + strings.Join(packages, ","), suite, root}
	if mirror := host.Mirror(); mirror != "" {
		args = append(args, mirror)
	}
	if _, err := engine.Run(exec.CommandContext(ctx, "debootstrap", args...), nil); err != nil {
		return fmt.Errorf("making a Debian root: %w", err)
	}
	if err := replaceCertificates(root); err != nil {
		return fmt.Errorf("giving the Debian root this machine's certificates: %w", err)
	}
	return clean(root)
}

// replaceCertificates replaces Debian's certificates by the machine's, after the package's own script has run.
func replaceCertificates(root string) error {
	content, err := os.ReadFile(bundle)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, bundle), content, 0o644)
}

// clean removes apt's downloads, as official images do.
func clean(root string) error {
	for _, left := range []string{"var/cache/apt/archives/*.deb", "var/lib/apt/lists/*"} {
		paths, err := filepath.Glob(filepath.Join(root, left))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("cleaning the Debian root: %w", err)
			}
		}
	}
	return nil
}
