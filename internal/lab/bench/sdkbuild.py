"""Builds images by the SDK's own build(), several at once, and adds a reference to each to /logs/TARGET.images.

    python -P sdkbuild.py MARK WORKERS SDIST TARGET IMAGE [NAME=VALUE...]

Lines on standard input are a base image and a custom tag. The module is imported once and the workers are forked, so
that what is measured is the function and not the start of a Python; the options are fields of BuildOptions.
"""

import multiprocessing
import os
import sys
import time
from pathlib import Path

from openhands.agent_server.docker.build import BuildOptions, build

name, workers, sdist, target, image, *options = sys.argv[1:]


def mark(what):
    print("mark", what, time.time(), flush=True)


def quiet():
    log = os.open(f"/logs/{target}-{os.getpid()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in 1, 2:
        os.dup2(log, stream)


def one(line):
    base, tag = line.split()
    wanted = BuildOptions(
        base_image=base,
        custom_tags=tag,
        image=image,
        target=target,
        push=True,
        include_base_tag=False,
        include_versioned_tag=False,
        git_ref="unknown",
        sdk_project_root=Path("/sdk"),
        prebuilt_sdist=Path(sdist),
        **dict(option.split("=", 1) for option in options),
    )
    try:
        return build(wanted)[0]
    except Exception as error:
        # The SDK's own error cannot be pickled: the pool would wait for ever.
        raise RuntimeError(f"{base}: {error}") from None


mark(f"{name}-import")
with multiprocessing.get_context("fork").Pool(int(workers), quiet) as pool, open(f"/logs/{target}.images", "a") as images:
    for built in pool.imap(one, sys.stdin.readlines()):
        print(built, file=images, flush=True)
mark(name)
