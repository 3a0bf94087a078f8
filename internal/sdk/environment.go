package sdk

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// defaultPython is the Python of an SDK that names none. All releases up to 1.58.2 name this one.
const defaultPython = "3.13"

// python returns the version of Python in the SDK's .python-version, which uv reads in the same way: the first line that is
// not empty and no comment.
func (c Checkout) python() string {
	text, _ := os.ReadFile(filepath.Join(c.Root, ".python-version"))
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return defaultPython
}

// Environment is the Python environment in which the SDK's build module imports.
type Environment struct {
	// Python is the interpreter, an absolute path.
	Python string
	// PythonPath holds the folders that it needs on PYTHONPATH.
	PythonPath []string
	// Version is the version of Python that the SDK names: "3.13". Fetched reports that uv had to fetch it.
	Version string
	Fetched bool
	// Duration is how long it took to make.
	Duration time.Duration
}

// Packages says which packages of the SDK's workspace an environment has, with what they depend on; it holds options of
// uv sync.
type Packages []string

var (
	// SDKPackage is what the build module imports, and no more: with the agent server's folder on PYTHONPATH it needs
	// only openhands-sdk. The agent server's own set is 358 packages instead of 140 (since 1.49.6 it includes the tools),
	// and does not import at all on 1.1.0.
	SDKPackage = Packages{"--package", "openhands-sdk"}
	// AllPackages is for releases whose openhands-sdk imports what only another package of the workspace declares: 1.7.1
	// to 1.11.5 need cachetools, which openhands-tools brings.
	AllPackages = Packages{"--all-packages"}
)

// Environment installs the SDK's locked dependencies beside the checkout, never inside; an environment that is there
// already is changed to what packages says. Nothing is compiled ahead: the first import does that for the modules that
// are needed, in a fraction of the time that all of them take, and later workers find it. Errors are a *SetupError.
func (c Checkout) Environment(ctx context.Context, cmds Commands, packages Packages) (Environment, error) {
	began := time.Now()
	fetched, err := c.fetchPython(ctx, cmds)
	if err != nil {
		return Environment{}, cmds.failed("installing the SDK's Python environment", err)
	}
	venv := filepath.Join(c.Dir, "venv")
	environ := append(c.uvEnviron(cmds), "UV_PROJECT_ENVIRONMENT="+venv)
	sync := append([]string{"uv", "sync", "--frozen", "--no-dev"}, packages...)
	if _, err := cmds.run(ctx, c.Root, environ, sync...); err != nil {
		return Environment{}, cmds.failed("installing the SDK's Python environment", err)
	}
	return Environment{
		Python:     filepath.Join(venv, "bin", "python"),
		PythonPath: []string{filepath.Join(c.Root, agentServer)},
		Version:    c.python(),
		Fetched:    fetched,
		Duration:   time.Since(began),
	}, nil
}

// fetchPython has uv fetch the SDK's Python where this machine has none, and reports whether it did.
func (c Checkout) fetchPython(ctx context.Context, cmds Commands) (fetched bool, err error) {
	environ, version := c.uvEnviron(cmds), c.python()
	_, err = cmds.run(ctx, c.Root, environ, "uv", "python", "find", "--no-project", version)
	var ended *commandError
	if !errors.As(err, &ended) {
		return false, err
	}
	if said, _ := output(err); !strings.Contains(said, "No interpreter found") {
		return false, nil // What else is wrong, uv sync meets, too.
	}
	environ = append(environ, "UV_PYTHON_DOWNLOADS=manual")
	if _, err := cmds.run(ctx, c.Root, environ, "uv", "python", "install", "--no-bin", version); err != nil {
		if errors.As(err, &ended) {
			err = fmt.Errorf("this machine has no Python %s, and uv could not fetch it: %w", version, err)
		}
		return false, err
	}
	return true, nil
}

// LacksModule reports whether the import of the SDK's build module failed because it did not find another module.
func LacksModule(err error) bool {
	var raised *SDKError
	return errors.As(err, &raised) && raised.Type == "ModuleNotFoundError"
}

// uvEnviron is what uv sees.
func (c Checkout) uvEnviron(cmds Commands) []string {
	return append(pick(cmds.Environ, slices.Concat(passedOn, uvPassedOn)...), uvSettings(c.python())...)
}

// uvSettings makes uv use the SDK's Python, and never fetch one by itself: fetchPython fetches it, and reports that it did.
func uvSettings(python string) []string {
	return []string{"UV_PYTHON=" + python, "UV_PYTHON_DOWNLOADS=never"}
}

// Sdist is the SDK's source distribution, made once for all images of a run.
type Sdist struct {
	// Path is the tarball. The caller removes it.
	Path string
	// SHA256 is its hash, 64 hexadecimal digits. It differs from run to run: the tarball holds modification times.
	SHA256 string
	// Duration is how long it took to make.
	Duration time.Duration
}

// Sdist makes the source distribution in dir, which must be absent or empty, by the SDK's own command. Errors are a
// *SetupError. A run can go on without an sdist, each image then makes its own, but not after ErrForeignSdist: the
// images' own would be no better.
func (c Checkout) Sdist(ctx context.Context, cmds Commands, dir string) (Sdist, error) {
	began := time.Now()
	made, err := c.sdist(ctx, cmds, dir)
	if err != nil {
		return Sdist{}, cmds.failed("building the SDK's sdist", err)
	}
	made.Duration = time.Since(began)
	return made, nil
}

func (c Checkout) sdist(ctx context.Context, cmds Commands, dir string) (Sdist, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Sdist{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Sdist{}, err
	}
	if _, err := cmds.run(ctx, c.Root, c.uvEnviron(cmds), "uv", "build", "--sdist", "--out-dir", dir); err != nil {
		return Sdist{}, err
	}
	// Its name is the workspace's, "unknown-0.0.0.tar.gz" by today's setuptools: no name to rely on.
	found, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil {
		return Sdist{}, err
	}
	if len(found) != 1 {
		return Sdist{}, fmt.Errorf("uv build left %d tarballs in %s, not one", len(found), dir)
	}
	if err := c.checkSdist(found[0]); err != nil {
		return Sdist{}, err
	}
	sum, err := fileSHA256(found[0])
	return Sdist{Path: found[0], SHA256: sum}, err
}

// ErrForeignSdist is the error for an sdist that was not built from the checkout: its images would be of another SDK than their
// tags say.
var ErrForeignSdist = errors.New("uv did not build it from the SDK's checkout")

// checkSdist compares the Dockerfile in an sdist with the checkout's. The error is an ErrForeignSdist when they differ.
func (c Checkout) checkSdist(tarball string) error {
	file, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", tarball, err)
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		if err == io.EOF {
			return fmt.Errorf("%w: it has no %s", ErrForeignSdist, dockerfilePath)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", tarball, err)
		}
		// All is in one folder, with the project's name and version.
		if _, path, _ := strings.Cut(entry.Name, "/"); path != dockerfilePath {
			continue
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, entries); err != nil {
			return fmt.Errorf("reading %s: %w", tarball, err)
		}
		if sum := hex.EncodeToString(hash.Sum(nil)); sum != c.DockerfileSHA256 {
			return fmt.Errorf("%w: the SHA-256 of its Dockerfile is %.12s, the checkout's is %.12s", ErrForeignSdist, sum, c.DockerfileSHA256)
		}
		return nil
	}
}
