package sdk

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// other begins the names of the inputs of a repository that is no SDK: "swt-bench", of swt-bench-repository and swt-bench-ref. It
// is empty for the SDK.
type other string

// ref and repository are the names of the inputs.
func (o other) ref() string        { return cmp.Or(string(o), "sdk") + "-ref" }
func (o other) repository() string { return cmp.Or(string(o), "sdk") + "-repository" }

// hint puts the names of these inputs in the place of those of the SDK's, in a hint of this package's own.
func (o other) hint(text string) string {
	if o == "" {
		return text
	}
	return strings.NewReplacer("sdk-repository", o.repository(), "sdk-ref", o.ref(), "give sdk-path", "give its file URL as "+o.repository()).Replace(text)
}

// CloneOther checks out a repository that is no SDK into dir, which must be absent or empty. name begins the names of its inputs.
// file is a path in it that tells it from others. The errors are those of Clone.
func CloneOther(ctx context.Context, source Source, name, file, dir string, cmds Commands) (root, sha string, err error) {
	cmds.other = other(name)
	g, sha, err := cloneCommit(ctx, source, dir, cmds)
	if err == nil {
		if _, missing := os.Stat(filepath.Join(g.root, file)); missing != nil {
			return "", "", &RefError{Source: source, other: cmds.other, lacks: file}
		}
		return g.root, sha, nil
	}
	if bad, wrong := errors.AsType[*RefError](err); wrong {
		bad.other = cmds.other
		return "", "", bad
	}
	return "", "", cmds.failed("cloning "+source.Repository, err)
}

// Venv makes a Python environment with the newest versions of packages, and returns its interpreter. version is a request of uv's:
// "3.13" or ">=3.10". Errors are a *SetupError.
func Venv(ctx context.Context, cmds Commands, dir, version string, packages []string) (python string, err error) {
	environ := append(pick(cmds.Environ, slices.Concat(passedOn, uvPassedOn)...), uvSettings(version)...)
	python = filepath.Join(dir, "bin", "python")
	for _, argv := range [][]string{
		{"uv", "venv", "--no-project", dir},
		append([]string{"uv", "pip", "install", "--python", python}, packages...),
	} {
		if _, err := cmds.run(ctx, filepath.Dir(dir), environ, argv...); err != nil {
			return "", cmds.failed("installing "+strings.Join(packages, ", "), err)
		}
	}
	return python, nil
}

// RunOther runs a program of another project's in dir, and returns what it printed. Errors are a *SetupError, or that of ctx.
func RunOther(ctx context.Context, cmds Commands, doing, dir string, argv []string) (string, error) {
	environ := append(pick(cmds.Environ, passedOn...), "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+value(cmds.Environ, "PYTHONPATH"))
	out, err := cmds.run(ctx, dir, environ, argv...)
	if err != nil && ctx.Err() == nil {
		return "", cmds.failed(doing, err)
	}
	return out, err
}
