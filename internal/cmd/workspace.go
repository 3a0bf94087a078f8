package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
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
	root      string // paths in the report are relative to it
	buildDir  string // the folder with the records of all runs
	folder    string // for ledger, summary and lock file; empty for a run without a record
	logs      string // logs of the images and of the set-up
	temporary string // checkout, environment, sdist, credentials: removed when the run ends
	setupLog  *os.File
	lock      *os.File // of the temporary folder; may be nil

	leftovers sync.WaitGroup // the removal of what killed runs have left
}

// dockerConfig and sdistFolder are in the temporary folder. The first has credentials and the state of buildx.
const dockerConfig, sdistFolder = "docker", "sdist"

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

// makeLogs creates the folder for logs, in the folder of the run's record.
func (w *workspace) makeLogs(c config.Config) error {
	w.buildDir = filepath.Join(w.root, c.BuildDir)
	folder := filepath.Join(w.buildDir, c.Dataset, c.Split)
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

// makeTemporary creates the temporary folder, and the log of the set-up. It removes the folders of runs that were killed.
func (w *workspace) makeTemporary() (err error) {
	w.leftovers.Go(func() { removeLeftovers(os.TempDir()) })
	if w.temporary, w.lock, err = makeLockedFolder(os.TempDir()); err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	if w.setupLog, err = os.Create(filepath.Join(w.logs, "set-up.log")); err != nil {
		return fmt.Errorf("making the set-up's log: %w", err)
	}
	if err := os.Mkdir(filepath.Join(w.temporary, dockerConfig), 0o700); err != nil {
		return fmt.Errorf("making the Docker configuration: %w", err)
	}
	return nil
}

// temporaryPrefix starts the name of every temporary folder of a run, and of nothing else: what is not locked is removed.
const temporaryPrefix = "eval-images-run-"

// makeLockedFolder makes a folder in dir, and locks it until this process ends, however that happens. It gets its name when it is
// locked, so that no other run takes it for one that was left. Not every file system has locks; then other runs get none either.
func makeLockedFolder(dir string) (folder string, lock *os.File, err error) {
	unlocked, err := os.MkdirTemp(dir, "."+temporaryPrefix)
	if err != nil {
		return "", nil, err
	}
	lock, _ = lockDir(unlocked)
	folder = filepath.Join(dir, strings.TrimPrefix(filepath.Base(unlocked), "."))
	return folder, lock, os.Rename(unlocked, folder)
}

// lockDir locks a folder while the file is open. It fails if another process has locked it.
func lockDir(folder string) (*os.File, error) {
	lock, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// removeLeftovers removes the temporary folders in dir of runs that were killed: nobody has locked them. It takes only folders that
// this user has made, because others may write to dir.
func removeLeftovers(dir string) {
	folders, _ := filepath.Glob(filepath.Join(dir, temporaryPrefix+"*"))
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if err != nil || info.Mode() != fs.ModeDir|0o700 {
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
			continue
		}
		if lock, err := lockDir(folder); err == nil {
			_ = os.RemoveAll(folder) // the next run tries again
			lock.Close()
		}
	}
}

// commands returns the settings for the commands of the set-up.
func (w *workspace) commands(env environment) sdk.Commands {
	return sdk.Commands{Environ: env, Log: w.setupLog, LogPath: w.relative(w.setupLog.Name())}
}

// buildEnviron returns the environment of docker commands and workers, with the run's Docker configuration and builder. It sets
// BUILDX_CONFIG, because buildx would otherwise write to the folder in the user's own BUILDX_CONFIG.
func (w *workspace) buildEnviron(env environment, builder string) []string {
	folder := filepath.Join(w.temporary, dockerConfig)
	return append(slices.DeleteFunc(slices.Clone(env), isSecret),
		"DOCKER_CONFIG="+folder, "BUILDX_CONFIG="+filepath.Join(folder, "buildx"), "BUILDX_BUILDER="+builder)
}

// isSecret reports whether builds must not see the variable. Inputs contain passwords, and variables of the runner contain its
// tokens. Builds get credentials only from the run's Docker configuration.
func isSecret(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "INPUT_") || strings.HasPrefix(name, "ACTIONS_") ||
		strings.HasSuffix(name, "PASSWORD") || strings.HasSuffix(name, "TOKEN")
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
	if w.setupLog != nil {
		w.setupLog.Close()
	}
	if w.temporary == "" {
		return ""
	}
	removed := make(chan error, 1)
	go func() {
		err := errors.Join(os.RemoveAll(filepath.Join(w.temporary, dockerConfig)),
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
