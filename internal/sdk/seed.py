"""Imports the SDK's build module once and forks the workers of a run, which share its memory.

    python -P seed.py SOCKET SDK_ROOT GIT_SHA

The protocol on SOCKET is worker.py's, with an id in each request that its answer repeats: the ends of workers are
reported in between, because only we can wait for them. The seed never builds. It names tags, and it forks while it has
exactly one thread: a lock that another thread holds would be held for ever in the fork (OpenHands/benchmarks#459: a
fork beside a live view of Rich's hung). So it has no thread that watches the parent either, as workers have; it sees
the parent's end between requests, and after the import.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback

# Where we lie is not searched for modules (-P), and must not be while the SDK imports.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402

del sys.path[0]

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # prctl(2)
prctl = ctypes.CDLL(None, use_errno=True).prctl


class Seed:
    def __init__(self, control, sdk):
        self.control, self.sdk = control, sdk
        self.workers = {}  # the id of the request that made each living worker, by process id
        self.ended, self.wake = os.pipe()  # readable when a signal has come, SIGCHLD above all
        for end in self.ended, self.wake:
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)

    def serve(self):
        """Answers until the parent hangs up."""
        worker.send(self.control, {"description": self.sdk.describe()})
        ready, unread = select.poll(), b""
        ready.register(self.control, select.POLLIN)
        ready.register(self.ended, select.POLLIN)
        while True:
            events = dict(ready.poll())
            if self.ended in events:
                self.reap()
            if self.control.fileno() in events:
                received = self.control.recv(1 << 16)
                if not received:
                    return
                *lines, unread = (unread + received).split(b"\n")
                for line in lines:
                    self.answer(line)

    def reap(self):
        """Reports each worker that has ended. Other children are not ours to wait for."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.ended, 1 << 12):
                pass
        for pid, number in list(self.workers.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.workers[pid]
                worker.send(self.control, {"worker": number, "wait_status": status})

    def answer(self, line):
        request = json.loads(line)
        if request["op"] == "fork":
            message = self.fork(request)
        else:
            message = worker.answer_or_error(self.sdk, line)
        worker.send(self.control, message | {"id": request["id"]})

    def fork(self, request):
        """Forks a worker that lives in the folder request["dir"], if that is safe."""
        if reason := more_threads():
            return {"refused": reason}
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()  # A collection in the worker would write to, and so copy, every page that it shares with us.
        seed = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            return {"refused": str(error)}
        if pid == 0:
            self.become_worker(request["dir"], seed)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # As the worker itself does: who is told of the group must find it.
        self.workers[pid] = request["id"]
        return {"pid": pid}

    def become_worker(self, folder, seed):
        """What the fork does, until its end. It must never come back into the seed's loop."""
        try:
            os.setpgid(0, 0)
            forget_signals()
            signal.signal(signal.SIGTERM, worker.end_everything)
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != seed:
                return  # It ended before that, and no signal will come.
            prctl(PR_SET_NAME, b"worker")
            self.close_inherited()
            move_to(folder)
            worker.serve(worker.connect(os.path.join(folder, "s")), self.sdk)
            worker.end_group()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def close_inherited(self):
        """Closes every descriptor but 0 to 2. A kept copy of a socket or pipe would hide the other side's end."""
        self.control.close()
        for end in self.ended, self.wake:
            os.close(end)
        # What the import left open belongs to objects that will close it by its number once more. So the numbers stay
        # taken, by nothing.
        nothing = os.open(os.devnull, os.O_RDWR)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != nothing and os.path.exists(f"/proc/self/fd/{name}"):
                os.dup2(nothing, int(name), inheritable=False)
        os.close(nothing)


def more_threads():
    """Which threads there are, or nothing when ours is the only one. Python does not know those of native code."""
    tasks = os.listdir("/proc/self/task")
    if len(tasks) == 1:
        return ""
    known = ", ".join(thread.name for thread in threading.enumerate())
    return f"the SDK's process has {len(tasks)} threads after the import, and only one can be forked (Python knows {known})"


def forget_signals():
    """Takes back every handler. What Python ignores from its start (SIGPIPE) stays ignored, as in a new process."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def move_to(folder):
    """Makes folder the place for what the worker writes, as worker.go's environment does for a new process."""
    # The module has cached the seed's own during the import: TMPDIR alone would change nothing.
    tempfile.tempdir = os.environ["TMPDIR"] = os.path.join(folder, "tmp")
    os.environ["BUILD_CACHE_DIR"] = os.path.join(folder, "cache")


def main(path, root, sha):
    # The parent ends us by the socket; a ^C is for it alone.
    signal.signal(signal.SIGINT, lambda *_: None)
    control = socket.socket(socket.AF_UNIX)
    control.connect(path)
    sdk = worker.load(control, root, sha)
    if sdk:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            Seed(control, sdk).serve()
        worker.end_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
