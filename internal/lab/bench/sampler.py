"""Prints what the processes of a run cost, as a line of JSON every second, from inside the run's container.

    python3 sampler.py

Peak resident memory and processor time of the orchestrator, and the process ids of the workers.
"""

import json
import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def kilobytes(text, *names):
    return sum(int(line.split()[1]) for line in text.splitlines() if line.split(":")[0] in names)


def sample():
    found = {"orchestrator": None, "workers": []}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        argv = read(f"/proc/{pid}/cmdline").split("\0")
        if argv[0] == "/eval-images":
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if len(fields) > 12:
                found["orchestrator"] = {
                    "peak_kb": kilobytes(read(f"/proc/{pid}/status"), "VmHWM"),
                    "cpu_seconds": (int(fields[11]) + int(fields[12])) / TICKS,
                }
        elif any(word.endswith("/worker.py") for word in argv):
            found["workers"].append(pid)
    return found


while True:
    print(json.dumps(sample()), flush=True)
    time.sleep(1)
