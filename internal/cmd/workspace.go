package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/confined"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// environment is the environment that the process was started with, as "NAME=value".
type environment []string

// get returns a variable's value, or "".
func (e environment) get(name string) string {
	for _, assignment := range e {
		if value, ok := strings.CutPrefix(assignment, name+"="); ok {
			return value
		}
	}
	return ""
}

// workspace has the folders of a run.
type workspace struct {
	root      string   // paths in the report are relative to it
	confined  bool     // in a runner, the paths of inputs must not lead out of root
	verbose   bool     // the log of the set-up is printed, too
	buildDir  string   // the folder with the records of all runs
	folder    string   // for ledger, summary and lock file; empty for a run without a record
	logs      string   // logs of the images and of the set-up
	temporary string   // checkout, environment, sdist: removed when the run ends
	lock      *os.File // of the temporary folder; may be nil
	// dockerConfig is the run's own Docker configuration, with credentials and the state of buildx. It is removed when the run ends.
	dockerConfig     string
	dockerConfigLock *os.File // or nil
	setupLog         *safeLog

	leftovers sync.WaitGroup // the removal of what killed runs have left
}

// sdistFolder is in the temporary folder.
const sdistFolder = "sdist"

// dryRunFolder is the folder for the logs of a dry run.
const dryRunFolder = "dry-run"

// relative returns path relative to the workspace. The absolute path in a container differs from the one that later steps see.
func (w *workspace) relative(path string) string {
	if relative, err := filepath.Rel(w.root, path); err == nil {
		return relative
	}
	return path
}

// absolute returns the absolute path of a path that the user gave.
func (w *workspace) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(w.root, path)
}

// The largest files that a user may give, in bytes.
const maxDatasetFile, maxInstancesFile, maxSummaryFile = 256 << 20, 8 << 20, 64 << 20

// readFile reads a file of at most limit bytes, in a runner one of the workspace.
func (w *workspace) readFile(name string, limit int64) ([]byte, error) {
	root, inside, hint := w.root, name, stepBefore
	if !w.confined {
		path := w.absolute(name)
		if linked, err := filepath.EvalSymlinks(path); err == nil { // confined refuses absolute links
			path = linked
		}
		root, inside, hint = string(filepath.Separator), strings.TrimLeft(path, string(filepath.Separator)), "check the path"
		if !filepath.IsAbs(name) {
			hint += ", which starts in the working directory " + w.root
		}
	}
	text, err := confined.Read(root, inside, limit)
	var path *fs.PathError
	var refused *confined.Refused
	switch {
	case errors.As(err, &refused):
		refused.Name = name
	case errors.As(err, &path):
		return nil, hinted{fmt.Errorf("reading %s: %w", name, path.Err), hint} // without the system call's name
	}
	return text, err
}

const stepBefore = "the path starts at the workspace; check out the repository, or write the file, in a step before this one"

// makeLogs creates the folder for logs, in the folder of the run's record.
func (w *workspace) makeLogs(c config.Config) error {
	w.buildDir = w.absolute(c.BuildDir)
	dataset := c.Dataset
	if !filepath.IsLocal(dataset) { // a file elsewhere
		dataset = filepath.Base(dataset)
	}
	folder := filepath.Join(w.buildDir, dataset, c.Split)
	w.logs = filepath.Join(folder, "logs")
	if c.DryRun {
		w.logs = filepath.Join(folder, dryRunFolder)
	} else {
		w.folder = folder
	}
	if err := os.MkdirAll(w.logs, 0o755); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	return nil
}

// makeTemporary creates the temporary folders, and the log of the set-up. It removes the folders of runs that were killed.
func (w *workspace) makeTemporary(env environment, a *actions.Runner) (err error) {
	w.leftovers.Go(func() { removeLeftovers(os.TempDir(), temporaryPrefix) })
	if w.temporary, w.lock, err = makeLockedFolder(os.TempDir(), temporaryPrefix); err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	log, err := os.Create(filepath.Join(cmp.Or(w.logs, w.temporary), "set-up.log"))
	if err != nil {
		return fmt.Errorf("making the set-up's log: %w", err)
	}
	w.setupLog = &safeLog{file: log, actions: a, verbose: w.verbose}
	if w.dockerConfig, w.dockerConfigLock, err = makeDockerConfig(env, w.temporary); err != nil {
		return err
	}
	if err := a.SaveState(dockerConfigState, w.dockerConfig); err != nil {
		a.Info("the post step removes no credentials: " + err.Error())
	}
	return nil
}

// commands returns the settings for the commands of the set-up.
func (w *workspace) commands(env environment) sdk.Commands {
	return sdk.Commands{Environ: env, Log: w.setupLog, LogPath: w.relative(w.setupLog.Name())}
}

// buildEnviron returns the environment of docker commands, with the run's Docker configuration and builder. It sets BUILDX_CONFIG,
// because buildx would otherwise write to the folder in the user's own BUILDX_CONFIG.
func (w *workspace) buildEnviron(env environment, builder string) []string {
	environ := append(sdk.DockerEnviron(env),
		"DOCKER_CONFIG="+w.dockerConfig, "BUILDX_CONFIG="+filepath.Join(w.dockerConfig, "buildx"), "BUILDX_BUILDER="+builder)
	if path := docker.CertPath(env.get); path != "" { // docker looks for certificates beside its configuration
		environ = append(environ, "DOCKER_CERT_PATH="+path)
	}
	return environ
}

// disk is the room on the disk of a folder, or the reason why that is not known.
type disk struct {
	name  string
	space docker.Space
	err   error
}

func diskOf(name, path string) disk {
	space, err := docker.SpaceOf(path)
	return disk{name, space, err}
}

// disks are those that the run itself writes to.
func (w *workspace) disks() []disk {
	temporary := w.temporary
	if temporary == "" {
		temporary = os.TempDir()
	}
	return []disk{diskOf("workspace", cmp.Or(w.logs, w.root)), diskOf("temporary folder", temporary)}
}

// free says how much room there is on the disks that are known.
func free(disks []disk) string {
	var all []string
	for _, d := range disks {
		if d.err == nil {
			all = append(all, d.name+" "+d.space.String())
		}
	}
	return "free: " + strings.Join(all, ", ")
}

// withSpace adds to the error of a full disk how much room the run's disks have.
func (w *workspace) withSpace(err error) error {
	if err == nil || failure.Classify(err.Error(), failure.ClassUnknown) != failure.ClassDisk {
		return err
	}
	return fmt.Errorf("%w; %s", err, free(w.disks()))
}

// chownToOwner gives the files of this run to the owner of the workspace. A container action runs as root, but a self-hosted runner
// that cleans up later does not.
func (w *workspace) chownToOwner() {
	info, err := os.Stat(w.root)
	if err != nil || w.buildDir == "" {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 || owner.Uid == 0 {
		return
	}
	filepath.WalkDir(w.buildDir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			os.Lchown(path, int(owner.Uid), int(owner.Gid)) // ignore errors: the run itself succeeded
		}
		return nil
	})
}

// cleanWithin limits the time to remove temporary files after a cancel. The runner kills the process after 10 s, and removing an
// environment of 30,000 files from a busy disk can take longer.
const cleanWithin = 2 * time.Second

// clean removes the temporary files: credentials and sdist first, then the rest. It returns a message about files that it could not
// remove, or "".
func (w *workspace) clean(ctx context.Context) (left string) {
	if w.dockerConfigLock != nil {
		defer w.dockerConfigLock.Close()
	}
	if w.setupLog != nil {
		w.setupLog.Close()
	}
	if w.temporary == "" {
		return ""
	}
	removed := make(chan error, 1)
	go func() {
		err := errors.Join(os.RemoveAll(w.dockerConfig),
			os.RemoveAll(filepath.Join(w.temporary, sdistFolder)), os.RemoveAll(w.temporary))
		w.leftovers.Wait()
		removed <- err
	}()
	var timeout <-chan time.Time
	if ctx.Err() != nil {
		timeout = time.After(cleanWithin)
	}
	select {
	case err := <-removed:
		if err != nil {
			return fmt.Sprintf("temporary files are left in %s: %v", w.temporary, err)
		}
		return ""
	case <-timeout:
		return "temporary files are left in " + w.temporary
	}
}
