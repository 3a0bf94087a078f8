"""Imports the SDK's build module and answers requests about images, one at a time.

    python -P worker.py SOCKET SDK_ROOT GIT_SHA

The parent listens on SOCKET. Both sides send JSON, one object a line. We send the first line: the description of the
SDK, or the error of its import. The protocol has its own socket, because the SDK and the programs that it starts write to
standard output and standard error at any time; both go to the log of the image being built.

We look for features of the SDK and never at its version. BuildOptions silently drops unknown fields: with prebuilt_sdist,
an SDK without that field would build an sdist for every image.
"""

import contextlib
import fcntl
import importlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

# With -P Python does not search our folder for modules. It must not do so while the SDK is imported.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import capture  # noqa: E402

del sys.path[0]

TAIL = 16_000  # characters of a failed command's output: enough for the last step's output and a long instruction
GRACE = 2  # seconds between SIGINT and SIGKILL for the processes that we started

# Fields of BuildOptions that the user cannot set. The run looks for images and records them by these; we set all but
# platforms, which is a list, and options are strings.
RESERVED = frozenset(
    "base_image custom_tags image target platforms push include_base_tag include_versioned_tag git_sha git_ref"
    " sdk_project_root sdk_version prebuilt_sdist".split()
)


class OptionError(Exception):
    """Reports fields that this SDK rejects, one problem each."""

    def __init__(self, problems):
        super().__init__("; ".join(problems))
        self.problems = problems


class SDK:
    """The imported build module, at one checkout."""

    def __init__(self, root, sha):
        began = time.monotonic()
        self.root, self.sha = Path(root).resolve(), sha
        self.module = importlib.import_module("openhands.agent_server.docker.build")
        self.fields = self.module.BuildOptions.model_fields
        self.options = sorted(set(self.fields) - RESERVED)
        self.import_seconds = time.monotonic() - began

    @property
    def seam(self):
        if "prebuilt_sdist" in self.fields:
            return "native-field"
        return "intercept" if callable(getattr(self.module, "_run", None)) else "none"

    def describe(self):
        return {
            "sdk_version": str(self.fields["sdk_version"].default) if "sdk_version" in self.fields else "unknown",
            "seam": self.seam,
            "option_names": self.options,
            "import_seconds": round(self.import_seconds, 3),
        }

    def build_options(self, image, **more):
        """Returns the BuildOptions of an image, or raises OptionError with all problems."""
        options = image.get("options") or {}
        problems = [f"sdk-options: {name} is set by the action itself" for name in options if name in RESERVED]
        problems += [
            f"sdk-options: this SDK has no option {name}" for name in options if name not in RESERVED and name not in self.fields
        ]
        try:
            made = self.module.BuildOptions(
                base_image=image["base_image"],
                custom_tags=image["custom_tags"],
                image=image["image"],
                target=image["target"],
                push=not image.get("load"),  # The default is to push in CI only.
                include_base_tag=False,  # Instances with the same base image would overwrite each other's tag.
                include_versioned_tag=False,  # A release tag is mutable and may be another commit's.
                git_sha=image.get("git_sha") or self.sha,
                git_ref="unknown",  # Any other ref adds a mutable branch tag, and a cache tag.
                sdk_project_root=self.root,
                **{name: value for name, value in options.items() if name not in RESERVED},
                **more,
            )
        except ValueError as error:
            problems += explain(error, options)
        if problems:
            raise OptionError(problems)
        return made

    def names(self, images):
        """Returns the tags of each image, by the SDK's own rule."""
        named = []
        for image in images:
            tags = self.build_options(image).all_tags
            if not tags:
                raise OptionError([f"custom tag {image['custom_tags']!r}: the SDK makes no tag of it"])
            named.append(tags)
        return named

    def build(self, image, sdist):
        """Builds an image, and pushes or loads it. Returns the fields of the answer, also after a failure."""
        lost = bool(sdist) and not Path(sdist).is_file()
        if lost:
            # The SDK would raise FileNotFoundError for each image.
            print(f"the prebuilt sdist {sdist} is gone; the SDK makes its own", flush=True)
            sdist = None
        counts = {"sdist_builds": 0, "sdist_lost": lost}
        try:
            native = {"prebuilt_sdist": Path(sdist)} if sdist and self.seam == "native-field" else {}
            options = self.build_options(image, **native)
            answer = sdist if self.seam == "intercept" else None
            with sdist_runs(self.module, self.root, answer) as runs:
                try:
                    done = run_build(self.module, options)
                finally:
                    # Without _run we cannot count, but the SDK cannot use the prebuilt sdist either.
                    counts["sdist_builds"] = runs.count if runs else 1
        except Exception as error:
            return counts | {"error": describe_error(error, self), "telemetry": telemetry_of(error)}
        except SystemExit as error:
            return counts | {"error": describe_error(error, self)}
        return counts | done

    def capture(self, image, sdist, folder):
        """Captures the docker build of an image, and copies its context to folder. Returns the fields of the answer."""
        with capture.no_docker(self.module, folder) as docker:
            done = self.build(image, sdist)
        if "error" in done:
            return done
        if not docker.kept:
            raise capture.CaptureError("the SDK's build ended without docker buildx build")
        return {"captured": docker.kept}


def run_build(module, options):
    if hasattr(module, "build_with_telemetry"):
        result = module.build_with_telemetry(options)
        return {"tags": list(result.tags), "telemetry": telemetry_of(result)}
    return {"tags": list(module.build(options)), "telemetry": {}}


class SdistRuns:
    """Replaces the module's _run. Copies the prebuilt sdist in place of an sdist build, and counts those that it runs.

    It replaces only the SDK's own command: exactly `uv build --sdist --out-dir D`, in the SDK's root. It runs every other
    command, and squeezes what that has printed.
    """

    def __init__(self, run, root, sdist):
        self.run, self.root, self.sdist, self.count = run, root, sdist, 0

    def __call__(self, cmd, *args, **kwargs):
        cwd = kwargs.get("cwd", args[0] if args else None)
        out_dir = self.out_dir(cmd, cwd)
        if self.sdist and out_dir:
            print(f"using the prebuilt sdist {self.sdist} for: {' '.join(cmd)}", flush=True)
            shutil.copy2(self.sdist, out_dir)
            return subprocess.CompletedProcess(cmd, 0, stdout="", stderr="")
        if list(cmd[:2]) == ["uv", "build"] and "--sdist" in cmd:
            self.count += 1
            with alone_in(self.root):
                return self.run(cmd, *args, **kwargs)
        try:
            done = self.run(cmd, *args, **kwargs)
        except subprocess.CalledProcessError as error:
            error.stdout, error.stderr = squeezed(error.stdout), squeezed(error.stderr)
            raise
        done.stdout, done.stderr = squeezed(done.stdout), squeezed(done.stderr)
        return done

    def out_dir(self, cmd, cwd):
        if cwd is None or Path(cwd).resolve() != self.root:
            return None
        match list(cmd):
            case ["uv", "build", "--sdist", "--out-dir", directory] | ["uv", "build", "--out-dir", directory, "--sdist"]:
                return directory
        return None


BLANKS = re.compile(r"[^\S\n]{20,}")


def squeezed(output):
    """Shortens long runs of blanks. The SDK reads telemetry from the output by a regular expression that takes time by the
    square of their length (openhands-agent-server, docker/build.py: _BUILDKIT_INLINE_DONE_RE): a minute for 50 kB.
    """
    return BLANKS.sub(" ", output) if isinstance(output, str) else output


@contextlib.contextmanager
def alone_in(folder):
    """Lets one worker at a time in: setuptools writes UNKNOWN.egg-info to the SDK's root and reads it again."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def sdist_runs(module, root, sdist):
    run = getattr(module, "_run", None)
    if not callable(run):
        yield None
        return
    module._run = SdistRuns(run, root, sdist)
    try:
        yield module._run
    finally:
        module._run = run


def explain(error, options):
    """Returns the problems in a ValidationError of pydantic, one line each, with the names of our inputs."""
    if not hasattr(error, "errors"):
        return [str(error)]
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        prefix = f"sdk-options: {name}" if name in options else name.replace("_", "-")
        problems.append(f"{prefix}: {problem['msg']}")
    return problems


def describe_error(error, sdk=None):
    if isinstance(error, OptionError):
        return {"kind": "options", "problems": error.problems, "valid": sdk.options if sdk else []}
    if isinstance(error, capture.CaptureError):
        return {"kind": "capture", "message": str(error)}
    if isinstance(error, subprocess.CalledProcessError):
        # str() of the SDK's BuildCommandError lacks the output, and it cannot be pickled.
        output = tail(error.stderr) or tail(error.output)
        return {"kind": "command", "return_code": error.returncode, "command": list(error.cmd), "tail": output}
    trace = "".join(traceback.format_exception(error))
    return {"kind": "exception", "type": type(error).__name__, "message": str(error)[:TAIL], "tail": tail(trace)}


def telemetry_of(carrier):
    """Returns the telemetry of a BuildResult or a BuildCommandError, by the SDK's names."""
    figures = getattr(carrier, "telemetry", None)
    return figures.model_dump() if figures is not None else {}


def tail(text):
    """Returns the last lines, at most TAIL characters. Drops the front of a longer line."""
    text = (text or "").strip()
    if len(text) <= TAIL:
        return text
    cut = text[-TAIL:]
    return cut.partition("\n")[2] or cut


@contextlib.contextmanager
def output_to(path):
    """Appends descriptors 1 and 2, which child processes inherit, to a file or a named pipe. Needs PYTHONUNBUFFERED."""
    kept = os.dup(1), os.dup(2)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        for descriptor, old in enumerate(kept, start=1):
            os.dup2(old, descriptor)
            os.close(old)


@contextlib.contextmanager
def clean_temporary():
    """Removes what a build leaves in our TMPDIR: the SDK never removes the folder around its build context."""
    folder = Path(tempfile.gettempdir())
    before = set(os.listdir(folder))
    try:
        yield
    finally:
        for name in set(os.listdir(folder)) - before:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def answer(sdk, request):
    os.chdir(sdk.root)  # The SDK changes the working directory while it unpacks the sdist.
    match request["op"]:
        case "names":
            return {"names": sdk.names(request["images"])}
        case "build":
            with output_to(request["log"]), clean_temporary():
                return sdk.build(request["image"], request["sdist"])
        case "capture":
            with output_to(request["log"]), clean_temporary():
                return sdk.capture(request["image"], request["sdist"], request["folder"])
    raise ValueError(f"no such operation: {request['op']}")


def end_group(parting=signal.SIGKILL):
    """Signals our process group, which contains everything we started, unless another process leads it."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, parting)


def end_everything(*_):
    """Ends everything we started and ourselves. Does not return."""
    end_group(signal.SIGINT)
    time.sleep(GRACE)
    end_group()
    os._exit(1)


def watch(connection):
    """Ends everything when the parent is gone: a build that goes on would push unseen."""
    hung_up = select.poll()
    hung_up.register(connection, select.POLLRDHUP)
    hung_up.poll()
    end_everything()


def connect(path):
    """Connects to the parent, and handles signals and the parent's end from here on."""
    # SIGINT to the group is for docker and uv: they clean up and end, and we report that. Child processes do not inherit
    # a handler; they would inherit SIG_IGN.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, end_everything)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    threading.Thread(target=watch, args=[connection], daemon=True).start()
    return connection


def send(connection, message):
    connection.sendall(json.dumps(message).encode() + b"\n")


def serve(connection, sdk):
    """Answers requests until the parent closes the connection."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        send(connection, {"description": sdk.describe()})
        for line in connection.makefile("r", encoding="utf-8"):
            try:
                said = answer(sdk, json.loads(line))
            except Exception as error:
                said = {"error": describe_error(error, sdk)}
            send(connection, said)


def main(path, root, sha):
    connection = connect(path)
    try:
        sdk = SDK(root, sha)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        send(connection, {"error": describe_error(error)})
        return
    serve(connection, sdk)
    end_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
