package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// GitVersion returns the version of git: "2.47.3". The error is a *SetupError.
func (c Commands) GitVersion(ctx context.Context) (string, error) { return c.version(ctx, "git") }

// UVVersion returns the version of uv: "0.13.9". The error, also for a uv that is too old for the SDK, is a *SetupError.
func (c Commands) UVVersion(ctx context.Context) (string, error) {
	found, err := c.version(ctx, "uv")
	if err == nil && olderThan(found, oldestUV) {
		return "", &SetupError{Doing: "checking uv", Cause: "it is version " + found, hint: "install uv " + oldestUV + " or later, or put it on PATH"}
	}
	return found, err
}

// FindPython returns the interpreter that uv finds for the Python of most SDKs, or "" if uv has to fetch one in each run. The error
// is a *SetupError.
func (c Commands) FindPython(ctx context.Context) (path, version string, err error) {
	environ := append(pick(c.Environ, slices.Concat(passedOn, uvPassedOn)...), uvSettings(defaultPython)...)
	found, err := c.run(ctx, os.TempDir(), environ, "uv", "python", "find", "--no-project", defaultPython)
	if said, _ := output(err); strings.Contains(said, "No interpreter found") {
		return "", defaultPython, nil
	}
	if err != nil {
		return "", defaultPython, c.failed("looking for Python "+defaultPython, err)
	}
	return strings.TrimSpace(found), defaultPython, nil
}

// version asks a program for its version, which is the first word that begins with a digit.
func (c Commands) version(ctx context.Context, program string) (string, error) {
	said, err := c.run(ctx, os.TempDir(), pick(c.Environ, passedOn...), program, "--version")
	for word := range strings.FieldsSeq(said) {
		if word[0] >= '0' && word[0] <= '9' {
			return word, nil
		}
	}
	if err == nil {
		err = errors.New("it says " + strconv.Quote(oneLine(said)))
	}
	return "", c.failed(fmt.Sprintf("asking %s for its version", program), err)
}

// olderThan compares versions of numbers and dots.
func olderThan(version, oldest string) bool {
	numbers := func(v string) (all []int) {
		for part := range strings.SplitSeq(v, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				break
			}
			all = append(all, n)
		}
		return all
	}
	return slices.Compare(numbers(version), numbers(oldest)) < 0
}
