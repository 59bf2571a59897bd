"""Takes a cluster down when its owner is gone: ``python teardown.py FOLDER NAME`` waits for the end of standard input.

The owner holds the other end of the pipe, so that the cluster goes down with it however it ends, kill -9 included.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

#: Where SLURM's programs look for their configuration.
SYSTEM = Path("/etc/slurm/slurm.conf")


def processes_of(folder: str, name: str) -> list[int]:
    """Processes of a cluster: daemons and clients by their configuration, jobs by the name of the cluster."""
    marks = {f"SLURM_CONF={folder}/slurm.conf".encode(), f"SLURM_CLUSTER_NAME={name}".encode()}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is not ours
                continue
            if marks.intersection(environment):
                found.append(int(entry.name))
    return found


def take_down(folder: str, name: str) -> None:
    """Kill what belongs to the cluster until nothing does, and remove the link to its configuration."""
    while found := processes_of(folder, name):
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    if SYSTEM.is_symlink() and SYSTEM.readlink() == Path(folder) / "slurm.conf":
        SYSTEM.unlink()


if __name__ == "__main__":
    sys.stdin.buffer.read()
    take_down(*sys.argv[1:])
