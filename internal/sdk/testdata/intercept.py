"""Asks worker.py's stand-in for _run about one command: intercept.py WORKER ROOT SDIST, and on standard input the
folder to be in, the command, and its cwd as "args" or "kwargs" as JSON. Tells what became of it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

program, root, sdist = sys.argv[1:]
spec = importlib.util.spec_from_file_location("worker", program)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
case = json.load(sys.stdin)
os.chdir(case["in"])
ran = []


def run(cmd, *args, **kwargs):
    ran.append([cmd, list(args), kwargs])
    return subprocess.CompletedProcess(cmd, 0)


runs = worker.SdistRuns(run, Path(root).resolve(), sdist)
sys.stdout = sys.stderr  # It says when it answers.
done = runs(case["cmd"], *case["args"], **case["kwargs"])
assert done.returncode == 0 and done.args == case["cmd"]
passed = ran == [[case["cmd"], case["args"], case["kwargs"]]]
print(json.dumps({"passed": passed, "counted": runs.count}), file=sys.__stdout__)
