package cmd

import (
	"errors"
	"syscall"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// badInput is an error in the user's inputs. Nothing was built.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

func isBadInput(err error) bool {
	var bad badInput
	return errors.As(err, &bad)
}

// exitCode returns the exit code of a run. failed counts what fails a run that ended by itself.
func exitCode(cancelled bool, err error, failed int) int {
	switch {
	case isBadInput(err):
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

// fail prints why a command that writes no report did not do its work, and returns the exit code.
func (r *record) fail(err error) int {
	for _, one := range split(err) {
		r.actions.Error("", withHint(one))
	}
	r.actions.Flush()
	var wrong *ledger.NotMergeable
	var input *config.InputError
	if errors.As(err, &wrong) || errors.As(err, &input) {
		return ExitBadInput
	}
	return ExitSetup
}

// maxError limits the text of an error and that of its hint, in bytes. Registries, datasets and SDKs decide what is in them.
const maxError = 1000

// withHint returns the text of an error and its hint, if it has one.
func withHint(err error) string {
	text := failure.Shorten(err.Error(), maxError)
	var hinting interface{ Hint() string }
	if errors.As(err, &hinting) && hinting.Hint() != "" {
		text += "\nhint: " + failure.Shorten(hinting.Hint(), maxError)
	}
	return text
}

// split returns the single errors of joined errors, recursively.
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

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// Hint says how to fix the error.
func (e hinted) Hint() string { return e.hint }

// withDiskHint adds a hint to err, an error of writing below build-dir or TMPDIR, when it knows the operating system's reason.
func withDiskHint(err error) error {
	var reason syscall.Errno
	if !errors.As(err, &reason) {
		return err
	}
	switch reason {
	case syscall.ENOSPC, syscall.EDQUOT:
		return hinted{err, "free disk space on the runner, or set build-dir or TMPDIR to a folder on another disk"}
	case syscall.EFBIG:
		return hinted{err, "allow larger files: ulimit -f unlimited"}
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return hinted{err, "set build-dir and TMPDIR to folders that this user can write to"}
	case syscall.ENOTDIR, syscall.EEXIST, syscall.ELOOP:
		return hinted{err, "set build-dir to another path: a file is in the place of a folder"}
	case syscall.ENOENT:
		return hinted{err, "set TMPDIR to an existing folder"}
	default:
		return err
	}
}
