package cmd

import (
	"errors"
	"syscall"
)

// badInput is an error in what the user gave: nothing was built.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

// exitCode is the exit code of a run that ended with err, or in which some images, or some parts of the record, failed.
func exitCode(cancelled bool, err error, failed int) int {
	var bad badInput
	switch {
	case errors.As(err, &bad):
		return ExitBadInput
	case cancelled:
		return ExitCancelled
	case err != nil:
		return ExitSetup
	case failed > 0:
		return ExitFailed
	default:
		return ExitOK
	}
}

// withHint is an error's text, with the hint that it has.
func withHint(err error) string {
	text := err.Error()
	var hinting interface{ Hint() string }
	if errors.As(err, &hinting) && hinting.Hint() != "" {
		text += "\nhint: " + hinting.Hint()
	}
	return text
}

// split takes joined errors apart, however deep.
func split(err error) []error {
	switch e := err.(type) {
	case nil:
		return nil
	case badInput:
		return split(e.error)
	case interface{ Unwrap() []error }:
		var all []error
		for _, one := range e.Unwrap() {
			all = append(all, split(one)...)
		}
		return all
	}
	return []error{err}
}

// fileError is a file or folder of our own that cannot be written.
type fileError struct {
	error
	hint string
}

func (e fileError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e fileError) Hint() string { return e.hint }

// withDiskHint adds to err, of writing below build-dir or TMPDIR, what helps against the operating system's reason.
func withDiskHint(err error) error {
	var reason syscall.Errno
	if !errors.As(err, &reason) {
		return err
	}
	switch reason {
	case syscall.ENOSPC, syscall.EDQUOT:
		return fileError{err, "free disk space on the runner, or let build-dir or TMPDIR be on another disk"}
	case syscall.EFBIG:
		return fileError{err, "allow larger files: ulimit -f unlimited"}
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return fileError{err, "let build-dir and TMPDIR name folders that this user can write to"}
	case syscall.ENOTDIR, syscall.EEXIST, syscall.ELOOP:
		return fileError{err, "give another build-dir: there is a file where a folder has to be"}
	case syscall.ENOENT:
		return fileError{err, "let TMPDIR name a folder that exists"}
	default:
		return err
	}
}
