import hashlib
import platform

from src.constants import BASE, NEEDS, SCRIPTS
from src.utils import requirements


def make_exec_spec(row):
    row["golden_code_patch"]  # swt-bench reads it, too
    print("making a spec of", row["instance_id"])
    return ExecSpec(row)


class ExecSpec:
    def __init__(self, row):
        self.row, self.arch = row, platform.machine()
        self.commit = row["environment_setup_commit"] if "environment_setup_commit" in row else row["base_commit"]

    @property
    def platform(self):
        return f"linux/{self.arch}"

    @property
    def base_image_key(self):
        return f"exec.base.{self.arch}:latest"

    @property
    def base_dockerfile(self):
        return f"FROM --platform={self.platform} {BASE}\nRUN echo base >/base && mkdir -p /testbed\n"

    @property
    def env_script(self):
        lines = ["#!/bin/sh", "set -eux", f"echo {self.row['repo']} {self.row['version']} >/env"]
        if self.row["repo"] in NEEDS:
            lines += [f"echo {line} >>/env" for line in requirements(self.row["repo"], self.commit)]
        return "\n".join(lines + [SCRIPTS.get(self.row["version"], "true")]) + "\n"

    @property
    def env_image_key(self):
        return f"exec.env.{self.arch}.{hashlib.sha256(self.env_script.encode()).hexdigest()[:22]}:latest"

    @property
    def env_dockerfile(self):
        return (
            f"FROM --platform={self.platform} {self.base_image_key}\nCOPY ./setup_env.sh /root/\n"
            "RUN sh /root/setup_env.sh\nWORKDIR /testbed/\nRUN echo ready >/ready\n"
        )
