package pipeline

import (
	"errors"
	"syscall"
)

// folderError is a file or folder of our own that cannot be written.
type folderError struct {
	error
	hint string
}

func (e folderError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e folderError) Hint() string { return e.hint }

// writing adds to err, of writing below build-dir or TMPDIR, what helps against the operating system's reason.
func writing(err error) error {
	var reason syscall.Errno
	if !errors.As(err, &reason) {
		return err
	}
	switch reason {
	case syscall.ENOSPC, syscall.EDQUOT:
		return folderError{err, "free disk space on the runner, or let build-dir or TMPDIR be on another disk"}
	case syscall.EFBIG:
		return folderError{err, "allow larger files: ulimit -f unlimited"}
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return folderError{err, "let build-dir and TMPDIR name folders that this user can write to"}
	case syscall.ENOTDIR, syscall.EEXIST, syscall.ELOOP:
		return folderError{err, "give another build-dir: there is a file where a folder has to be"}
	case syscall.ENOENT:
		return folderError{err, "let TMPDIR name a folder that is there"}
	default:
		return err
	}
}
