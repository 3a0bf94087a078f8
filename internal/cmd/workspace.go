package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
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

// workspace is where a run reads and writes files.
type workspace struct {
	root      string // what paths in the report are relative to
	buildDir  string // the folder of all runs' records
	folder    string // ledger, summary and lock file; empty for a run that has no record
	logs      string // logs of the images and of the set-up
	temporary string // checkout, environment, sdist, credentials: removed when the run ends
	setupLog  *os.File
}

// dockerConfig and sdistFolder are below the temporary folder. The first has the run's credentials, and buildx's records.
const dockerConfig, sdistFolder = "docker", "sdist"

// dryRunFolder has what a dry run leaves: logs of the SDK's set-up.
const dryRunFolder = "dry-run"

// relative is a path as the steps after this one see it, whose workspace has another name than a container's.
func (w *workspace) relative(path string) string {
	if relative, err := filepath.Rel(w.root, path); err == nil {
		return relative
	}
	return path
}

// absolute is a path that the user gave.
func (w *workspace) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(w.root, path)
}

// makeLogs makes the folder of a run's record, or of a dry run's logs.
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

// makeTemporary makes the folder for what nobody needs after the run, and the set-up's log.
func (w *workspace) makeTemporary() (err error) {
	if w.temporary, err = os.MkdirTemp("", "eval-images-"); err != nil {
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

// commands are what the set-up runs its commands with.
func (w *workspace) commands(env environment) sdk.Commands {
	return sdk.Commands{Environ: env, Log: w.setupLog, LogPath: w.relative(w.setupLog.Name())}
}

// buildEnviron is what docker commands and workers run with: the run's own Docker configuration and builder. buildx keeps its
// records in BUILDX_CONFIG where that is set, and a user's own folder must not get any of ours.
func (w *workspace) buildEnviron(env environment, builder string) []string {
	folder := filepath.Join(w.temporary, dockerConfig)
	return append(slices.DeleteFunc(slices.Clone(env), isSecret),
		"DOCKER_CONFIG="+folder, "BUILDX_CONFIG="+filepath.Join(folder, "buildx"), "BUILDX_BUILDER="+builder)
}

// isSecret tells a variable that no build may see: inputs hold passwords, and the runner's own variables hold its tokens.
// Builds find credentials in the run's Docker configuration alone.
func isSecret(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "INPUT_") || strings.HasPrefix(name, "ACTIONS_") ||
		strings.HasSuffix(name, "PASSWORD") || strings.HasSuffix(name, "TOKEN")
}

// chownToOwner makes what this run wrote in the workspace its owner's: a container action is root, and a self-hosted runner
// is not when it cleans up.
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
			os.Lchown(path, int(owner.Uid), int(owner.Gid)) // a log that stays root's is no reason to fail
		}
		return nil
	})
}

// cleanWithin bounds the removal of temporary files after a cancel: a runner's patience is 10 s in all, and removing an
// environment of 30,000 files can take longer on a busy disk.
const cleanWithin = 2 * time.Second

// clean removes the temporary files: credentials and sdist first, then checkout and environment. The message says what is
// left; it is empty when nothing is.
func (w *workspace) clean(ctx context.Context) (left string) {
	if w.setupLog != nil {
		w.setupLog.Close()
	}
	if w.temporary == "" {
		return ""
	}
	removed := make(chan error, 1)
	go func() {
		removed <- errors.Join(os.RemoveAll(filepath.Join(w.temporary, dockerConfig)),
			os.RemoveAll(filepath.Join(w.temporary, sdistFolder)), os.RemoveAll(w.temporary))
	}()
	var patience <-chan time.Time
	if ctx.Err() != nil {
		patience = time.After(cleanWithin)
	}
	select {
	case err := <-removed:
		if err != nil {
			return fmt.Sprintf("temporary files are left in %s: %v", w.temporary, err)
		}
		return ""
	case <-patience:
		return "temporary files are left in " + w.temporary
	}
}
