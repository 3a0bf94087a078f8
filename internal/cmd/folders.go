package cmd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// temporaryPrefix starts the name of every temporary folder of a run, and of nothing else: what is not locked is removed.
const temporaryPrefix = "eval-images-run-"

// makeLockedFolder makes a folder in dir whose name begins with prefix, and locks it until this process ends, however that
// happens. It gets its name when it is locked, so that no other run takes it for one that was left. Not every file system has
// locks; then other runs get none either.
func makeLockedFolder(dir, prefix string) (folder string, lock *os.File, err error) {
	unlocked, err := os.MkdirTemp(dir, "."+prefix)
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

// removeLeftovers removes the folders in dir, by the prefix of their names, of runs that were killed: nobody has locked them.
// It takes only folders that this user has made, because others may write to dir.
func removeLeftovers(dir, prefix string) {
	folders, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
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
