"""A fake of the SDK's build module, with the same names and ways, without pydantic. The file "variant" in the working
directory says which of its seams it has; the base image says what a build does."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VARIANT = Path("variant").read_text()
if VARIANT == "broken":
    import no_such_module  # noqa: F401

print("noise at import")  # As the real one: whoever speaks a protocol on standard output is lost.


class ValidationError(ValueError):
    def __init__(self, field, message):
        super().__init__(message)
        self.problems = [{"loc": (field,), "msg": message}]

    def errors(self):
        return self.problems


class Field:
    def __init__(self, default=None):
        self.default = default


class BuildOptions:
    model_fields = {name: Field() for name in "base_image custom_tags image target push include_base_tag git_sha git_ref".split()}
    model_fields |= {"sdk_project_root": Field(), "sdk_version": Field("9.9.9"), "flavor": Field("")}
    if VARIANT == "native":
        model_fields["prebuilt_sdist"] = Field()

    def __init__(self, **given):
        assert given["push"] in (True, False) and given["include_base_tag"] is False  # Both have another default.
        self.prebuilt_sdist = None
        for name in given.keys() & self.model_fields:  # Unknown ones are dropped silently.
            setattr(self, name, given[name])
        if given.get("flavor") == "sour":
            raise ValidationError("flavor", "not sour")
        if given["target"] == "bogus":
            raise ValidationError("target", "no such target")

    @property
    def all_tags(self):
        tags = [f"{self.image}:{sha}-{self.custom_tags}-{self.target}" for sha in (self.git_sha[:7], self.git_sha) if self.custom_tags]
        return list(dict.fromkeys(tags))


class Telemetry:
    def model_dump(self):
        return {"build_context_seconds": 0.5, "cached_step_count": 2}


class Result:
    def __init__(self, tags):
        self.tags, self.telemetry = tags, Telemetry()


class BuildCommandError(subprocess.CalledProcessError):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.telemetry = Telemetry()


def run(cmd, cwd=None):
    done = subprocess.run(cmd, cwd=cwd, capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")
    done.check_returncode()
    return done


INLINE_DONE = re.compile(r"^(?P<description>.+?)\s+(?P<seconds>\d+(?:\.\d+)?)s done$")  # As the real one has it.


if VARIANT != "none":
    _run = run


DOCKERFILE = Path("openhands/agent_server/docker/Dockerfile")
CATALOG = Path("openhands/catalog.py")


def make_context(options):
    if options.target == "base-image-minimal":  # Two files, and no sdist.
        context = Path(tempfile.mkdtemp(prefix="agent-base-ctx-"))
        shutil.copy2(options.sdk_project_root / DOCKERFILE, context / "Dockerfile")
        (context / CATALOG).parent.mkdir(parents=True)
        shutil.copy2(options.sdk_project_root / CATALOG, context / CATALOG)
        return str(context)
    context = tempfile.mkdtemp(prefix="agent-build-")
    sdist = options.prebuilt_sdist
    if sdist is None:
        out = tempfile.mkdtemp(prefix="agent-sdist-")
        globals().get("_run", run)(["uv", "build", "--sdist", "--out-dir", out], cwd=str(options.sdk_project_root))
        (sdist,) = Path(out).glob("*.tar.gz")
    print("context from", Path(sdist).read_text().strip())
    return context


def docker_build(options, context):
    own_run = globals().get("_run", run)
    args = ["docker", "buildx", "build", "--file", str(options.sdk_project_root / DOCKERFILE), "--target", options.target]
    args += ["--build-arg", f"BASE_IMAGE={options.base_image}", "--build-arg", f"OPENHANDS_BUILD_GIT_SHA={options.git_sha}"]
    args += ["--build-arg", f"FLAVOR={getattr(options, 'flavor', 'plain')}", "--platform", "linux/amd64", "--push" if options.push else "--load"]
    for tag in options.all_tags:
        args += ["--tag", tag]
    own_run(["docker", "buildx", "inspect", "--bootstrap"])
    args += ["--cache-from", f"type=registry,ref={options.image}:buildcache"]
    match options.base_image:
        case "no docker":
            return
        case "twice":
            own_run([*args, context], cwd=context)
        case "odd":
            args += ["--no-cache"]
        case "new options":
            args += ["--build-context", "base=/", "--secret=id=a,env=A", "--ssh", "default", "--push", "--cache-to", "type=registry,ref=x,mode=min"]
        case "elsewhere":
            context = "https://example.org/context.git"
        case "relative":
            args[args.index("--file") + 1] = "Dockerfile"
            args += ["--build-arg", "FLAVOR", "--build-arg=HOME", "--build-arg", "PAIR=a=b"]
            context = "."
    own_run([*args, context], cwd=os.getcwd())


def build(options):
    print("in", Path.cwd())
    context = make_context(options)
    os.chdir(context)  # The real one does, while it unpacks.
    print("said on standard output")
    print("said on standard error", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo said by a child; echo said by a child, loudly >&2"])
    match options.base_image:
        case "fails":
            error = "x" * 20_000 + "\nsecond but last\nlast words\n"
            raise BuildCommandError(3, ["docker", "buildx", "build"], output="", stderr=error)
        case "raises":
            raise FileNotFoundError("no such catalog")
        case "leaves":
            sys.exit("enough")
        case "hangs":
            subprocess.run(["sh", "-c", "trap '' INT TERM; echo docker sees $TMPDIR and $BUILD_CACHE_DIR; echo hanging; sleep 3600"])
        case "prints blanks":
            script = "head -c 300000 /dev/zero | tr '\\0' ' '; echo x; exit "
            for code in "0", "1":
                try:
                    INLINE_DONE.match("#1" + _run(["sh", "-c", script + code]).stdout)
                except subprocess.CalledProcessError as error:
                    INLINE_DONE.match("#1" + error.stdout)
        case "dies":
            os.kill(os.getpid(), 9)
        case "exits":
            os._exit(7)
        case "other commands":
            for cmd, cwd in [
                (["uv", "build", "--wheel", "--out-dir", "x"], str(options.sdk_project_root)),
                (["uv", "build", "--sdist", "--out-dir", "x"], "/"),
                (["uv", "build", "--sdist", "--out-dir", "x", "--package", "p"], str(options.sdk_project_root)),
                (["uv", "build", "--sdist", "--out-dir", "x"], None),
            ]:
                _run(cmd, cwd=cwd)
    try:
        docker_build(options, context)
    finally:
        shutil.rmtree(context, ignore_errors=options.target != "base-image-minimal")
    return options.all_tags


if VARIANT != "old":

    def build_with_telemetry(options):
        return Result(build(options))
