"""Finds out what the SDK's build would have docker do, without docker.

worker.py answers the request "capture" with this. The SDK's own build runs up to its `docker buildx build`, which is
noted and not run. So build arguments and context are the SDK's, whatever its release.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
from pathlib import Path


class Uncapturable(Exception):
    """The SDK's build does not show, in a way that we know, what it would have docker do."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Uncapturable(f"the SDK's docker buildx build is not understood: {message}")


def parser():
    """Knows the options that we know the meaning of. Others may change the image."""
    known = Parser(add_help=False, allow_abbrev=False)
    known.add_argument("--file", "-f")
    known.add_argument("--target", default="")
    known.add_argument("--platform", default="")
    known.add_argument("--build-arg", action="append", default=[])
    # What becomes of the image, and where steps may come from, do not change it.
    for option in "--tag -t --cache-from --cache-to --output -o --progress --builder --provenance --sbom".split():
        known.add_argument(option, action="append")
    for switch in "--push", "--load":
        known.add_argument(switch, action="store_true")
    known.add_argument("context")
    return known


class Docker:
    """Stands in for the module's _run: answers every docker command without running it, and keeps what it builds."""

    def __init__(self, run, folder):
        self.run, self.folder, self.kept = run, Path(folder), None

    def __call__(self, cmd, *args, **kwargs):
        if Path(cmd[0]).name != "docker":
            return self.run(cmd, *args, **kwargs)
        if list(cmd[1:3]) == ["buildx", "build"]:
            if self.kept:
                raise Uncapturable("the SDK's build runs docker buildx build more than once")
            self.kept = self.keep(list(cmd), kwargs.get("cwd", args[0] if args else None) or os.getcwd())
            print(f"not run: {' '.join(cmd)}", flush=True)
        return subprocess.CompletedProcess(cmd, 0, stdout="", stderr="")

    def keep(self, argv, cwd):
        """What the command says, and a copy of its context, which the SDK removes."""
        said = parser().parse_args(argv[3:])
        context = Path(cwd, said.context)
        if not context.is_dir():
            raise Uncapturable(f"the context of the SDK's docker buildx build is not a folder: {said.context}")
        dockerfile = Path(cwd, said.file) if said.file else context / "Dockerfile"
        shutil.copytree(context, self.folder, symlinks=True)
        # This one counts for BuildKit, where there is one, instead of that in the context.
        own_ignores = Path(f"{dockerfile}.dockerignore")
        if own_ignores.exists():
            shutil.copy2(own_ignores, self.folder / ".dockerignore")
        return {
            "argv": argv,
            "args": build_args(said.build_arg),
            "target": said.target,
            "platform": said.platform,
            "dockerfile": dockerfile.read_bytes().decode(),
        }


def build_args(pairs):
    """The values by name. The last counts; one that is only named has its value in the environment, or none."""
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
    """Answers the module's docker commands; what the one build would be is in the given object's kept."""
    run = getattr(module, "_run", None)
    if not callable(run):
        raise Uncapturable("the SDK's build module has no _run that could be answered")
    module._run = Docker(run, folder)
    try:
        yield module._run
    finally:
        module._run = run
