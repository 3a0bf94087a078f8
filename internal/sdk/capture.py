"""Captures the docker build of the SDK without running docker.

worker.py uses this for the request "capture". The SDK's own build runs up to its `docker buildx build`, which we record
and do not run. So build arguments and context are the SDK's own in every release.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
from pathlib import Path


class CaptureError(Exception):
    """Reports that the docker build of this SDK cannot be captured."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise CaptureError(f"the SDK's docker buildx build is not understood: {message}")


# Options whose values are read. Outputs, caches and the like do not change the image.
READ = "--file --target --platform --build-arg".split()
IGNORED = "--tag --cache-from --cache-to --output --progress --builder --provenance --sbom".split()
SWITCHES = "--push --load".split()


def parser():
    """Returns a parser of `docker buildx build` with the options that we know."""
    known = Parser(add_help=False, allow_abbrev=False)
    known.add_argument("--file", "-f")
    known.add_argument("--target", default="")
    known.add_argument("--platform", default="")
    known.add_argument("--build-arg", action="append", default=[])
    for option in IGNORED + ["-t", "-o"]:
        known.add_argument(option, action="append")
    for switch in SWITCHES:
        known.add_argument(switch, action="store_true")
    known.add_argument("context")
    return known


def take_unknown(words):
    """Returns the words that the parser knows, and the other options as --name=value.

    An option that we do not know may change the image, so it is kept whole. An option without a value of its own is left to
    the parser, which refuses it: the word after it may or may not be its value.
    """
    known, unknown = [], []
    words = list(words)
    while words:
        word = words.pop(0)
        name, given, _ = word.partition("=")
        if name in READ + IGNORED:
            known.append(word)
            if not given and words:
                known.append(words.pop(0))
        elif word.startswith("--") and given:
            unknown.append(word)
        elif word.startswith("--") and word not in SWITCHES and len(words) > 1 and not words[0].startswith("-"):
            unknown.append(f"{word}={words.pop(0)}")
        else:
            known.append(word)
    return known, unknown


class Docker:
    """Replaces the module's _run. Runs no docker command, and records the docker build."""

    def __init__(self, run, folder):
        self.run, self.folder, self.kept = run, Path(folder), None

    def __call__(self, cmd, *args, **kwargs):
        if Path(cmd[0]).name != "docker":
            return self.run(cmd, *args, **kwargs)
        if list(cmd[1:3]) == ["buildx", "build"]:
            if self.kept:
                raise CaptureError("the SDK's build runs docker buildx build more than once")
            self.kept = self.keep(list(cmd), kwargs.get("cwd", args[0] if args else None) or os.getcwd())
            print(f"not run: {' '.join(cmd)}", flush=True)
        return subprocess.CompletedProcess(cmd, 0, stdout="", stderr="")

    def keep(self, argv, cwd):
        """Records a docker build, and copies its context, which the SDK removes."""
        words, unknown = take_unknown(argv[3:])
        said = parser().parse_args(words)
        context = Path(cwd, said.context)
        if not context.is_dir():
            raise CaptureError(f"the context of the SDK's docker buildx build is not a folder: {said.context}")
        dockerfile = Path(cwd, said.file) if said.file else context / "Dockerfile"
        shutil.copytree(context, self.folder, symlinks=True)
        # BuildKit prefers this file to the .dockerignore in the context.
        own_ignores = Path(f"{dockerfile}.dockerignore")
        if own_ignores.exists():
            shutil.copy2(own_ignores, self.folder / ".dockerignore")
        return {
            "argv": argv,
            "args": build_args(said.build_arg),
            "options": unknown,
            "target": said.target,
            "platform": said.platform,
            "dockerfile": dockerfile.read_bytes().decode(),
        }


def build_args(pairs):
    """Returns the values by name. The last value wins; a name without a value takes it from the environment."""
    values = {}
    for pair in pairs:
        name, given, value = pair.partition("=")
        if not given:
            value = os.environ.get(name)
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return values


@contextlib.contextmanager
def no_docker(module, folder):
    """Keeps the module from running docker. Yields a Docker, which has the docker build in kept."""
    run = getattr(module, "_run", None)
    if not callable(run):
        raise CaptureError("the SDK's build module has no _run that could be answered")
    module._run = Docker(run, folder)
    try:
        yield module._run
    finally:
        module._run = run
