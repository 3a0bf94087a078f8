"""Answers requests about images with the SDK's own build module, one at a time.

    python -P worker.py SOCKET SDK_ROOT GIT_SHA

The parent listens on SOCKET and speaks JSON, one object a line. The first line is ours and describes the SDK, or says
why its build module did not import. The protocol has a socket of its own because the SDK writes to standard output and
standard error whenever it likes, and so do the programs that it starts; both go to the log of the image being built.

Features of the SDK are probed, never derived from its version. BuildOptions drops unknown fields silently: passing
prebuilt_sdist to an SDK that has no such field would build an sdist for every image, without a word.
"""

import contextlib
import fcntl
import importlib
import inspect
import json
import os
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

# Where we lie is not searched for modules (-P), and must not be while the SDK imports.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import capture  # noqa: E402

del sys.path[0]

TAIL = 16_000  # characters kept of a failed command's output: the last step's own, and its instruction, which may be long
GRACE = 2  # seconds that what we started has between SIGINT and SIGKILL

# Fields of BuildOptions that the parent decides. The user cannot set them: images, tags and content would no longer be
# what the run looked for and recorded. We leave platforms alone, but it is a list, which no string can be.
OWN = frozenset(
    "base_image custom_tags image target platforms push include_base_tag include_versioned_tag git_sha git_ref"
    " sdk_project_root sdk_version prebuilt_sdist".split()
)


class Refused(Exception):
    """Fields that this SDK does not take, one problem a line."""

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
        self.options = sorted(set(self.fields) - OWN)
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
            # Not a field: the module reads the variable inside build().
            "cache_modes": "OPENHANDS_BUILDKIT_CACHE_MODE" in inspect.getsource(self.module),
            "option_names": self.options,
            "import_seconds": round(self.import_seconds, 3),
        }

    def build_options(self, image, **more):
        """One BuildOptions. Refused says everything that is wrong with it."""
        options = image.get("options") or {}
        problems = [f"sdk-options: {name} is set by the action itself" for name in options if name in OWN]
        problems += [
            f"sdk-options: this SDK has no option {name}" for name in options if name not in OWN and name not in self.fields
        ]
        try:
            made = self.module.BuildOptions(
                base_image=image["base_image"],
                custom_tags=image["custom_tags"],
                image=image["image"],
                target=image["target"],
                push=True,  # Left out, it means "in CI".
                include_base_tag=False,  # Instances that share a base image would overwrite each other's tag.
                include_versioned_tag=False,  # Release tags are mutable, and another SDK commit's image may be there.
                git_sha=image.get("git_sha") or self.sha,
                git_ref="unknown",  # Anything else adds a mutable branch tag, and a cache tag for each ref.
                sdk_project_root=self.root,
                **{name: value for name, value in options.items() if name not in OWN},
                **more,
            )
        except ValueError as error:
            problems += explain(error, options)
        if problems:
            raise Refused(problems)
        return made

    def names(self, images):
        """The tags of each image, by the SDK's own rule."""
        named = []
        for image in images:
            tags = self.build_options(image).all_tags
            if not tags:
                raise Refused([f"custom tag {image['custom_tags']!r}: the SDK makes no tag of it"])
            named.append(tags)
        return named

    def build(self, image, sdist):
        """Builds and pushes; gives the answer's fields, also of a failure."""
        lost = bool(sdist) and not Path(sdist).is_file()
        if lost:
            # The SDK would fail each image with FileNotFoundError.
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
                    # Without _run there is nothing to count by, and no way for a prebuilt sdist to be used either.
                    counts["sdist_builds"] = runs.count if runs else 1
        except Exception as error:
            return counts | {"error": describe_error(error, self), "telemetry": telemetry_of(error)}
        except SystemExit as error:
            return counts | {"error": describe_error(error, self)}
        return counts | done

    def capture(self, image, sdist, folder):
        """What build would have docker do, with a copy of the context in folder; gives the answer's fields."""
        with capture.no_docker(self.module, folder) as docker:
            done = self.build(image, sdist)
        if "error" in done:
            return done
        if not docker.kept:
            raise capture.Uncapturable("the SDK's build ended without docker buildx build")
        return {"captured": docker.kept}


def run_build(module, options):
    if hasattr(module, "build_with_telemetry"):
        result = module.build_with_telemetry(options)
        return {"tags": list(result.tags), "telemetry": telemetry_of(result)}
    return {"tags": list(module.build(options)), "telemetry": {}}


class SdistRuns:
    """Stands in for the module's _run: counts sdist builds that really run and, given an sdist, answers them with it.

    Only the SDK's own command is answered: `uv build --sdist --out-dir D`, with nothing added, in the SDK's root. A
    build of something else, or somewhere else, passes through like every other command.
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
        return self.run(cmd, *args, **kwargs)

    def out_dir(self, cmd, cwd):
        if cwd is None or Path(cwd).resolve() != self.root:
            return None
        match list(cmd):
            case ["uv", "build", "--sdist", "--out-dir", directory] | ["uv", "build", "--out-dir", directory, "--sdist"]:
                return directory
        return None


@contextlib.contextmanager
def alone_in(folder):
    """Waits for the other workers: setuptools writes UNKNOWN.egg-info into the SDK's root, and reads it again."""
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
    """The problems in a ValidationError of pydantic's, one line each, by the name under which the user set the value."""
    if not hasattr(error, "errors"):
        return [str(error)]
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        prefix = f"sdk-options: {name}" if name in options else name.replace("_", "-")
        problems.append(f"{prefix}: {problem['msg']}")
    return problems


def describe_error(error, sdk=None):
    if isinstance(error, Refused):
        return {"kind": "options", "problems": error.problems, "valid": sdk.options if sdk else []}
    if isinstance(error, capture.Uncapturable):
        return {"kind": "capture", "message": str(error)}
    if isinstance(error, subprocess.CalledProcessError):
        # str() of the SDK's BuildCommandError has no word of the output, and it cannot be pickled either.
        output = tail(error.stderr) or tail(error.output)
        return {"kind": "command", "return_code": error.returncode, "command": list(error.cmd), "tail": output}
    trace = "".join(traceback.format_exception(error))
    return {"kind": "exception", "type": type(error).__name__, "message": str(error), "tail": tail(trace)}


def telemetry_of(carrier):
    """The figures of a BuildResult or of a BuildCommandError, by the SDK's names."""
    figures = getattr(carrier, "telemetry", None)
    return figures.model_dump() if figures is not None else {}


def tail(text):
    """The last lines, within TAIL characters. A single longer line is cut in front."""
    text = (text or "").strip()
    if len(text) <= TAIL:
        return text
    cut = text[-TAIL:]
    return cut.partition("\n")[2] or cut


@contextlib.contextmanager
def output_to(path):
    """Sends descriptors 1 and 2, which child processes inherit, to the end of a file. Python must not buffer them."""
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
    """Removes what a build leaves in our TMPDIR: the SDK forgets the folder around its build context, each time."""
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
    os.chdir(sdk.root)  # The SDK changes the folder while it unpacks.
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
    """Signals our process group, in which is everything that we started, unless it is somebody else's."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, parting)


def end_everything(*_):
    """Ends us with all that we started. It does not return."""
    end_group(signal.SIGINT)
    time.sleep(GRACE)
    end_group()
    os._exit(1)


def watch(connection):
    """Ends everything when the parent goes away: what builds on would push, unseen."""
    hung_up = select.poll()
    hung_up.register(connection, select.POLLRDHUP)
    hung_up.poll()
    end_everything()


def connect(path):
    """Connects to the parent. From here on signals do not end us alone, and the parent's end is seen."""
    # SIGINT to the group is for docker and uv: they end in good order, and we report it. A handler, unlike ignoring,
    # does not pass on to them.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, end_everything)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    threading.Thread(target=watch, args=[connection], daemon=True).start()
    return connection


def send(connection, message):
    connection.sendall(json.dumps(message).encode() + b"\n")


def serve(connection, sdk):
    """Answers until the parent hangs up."""
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
