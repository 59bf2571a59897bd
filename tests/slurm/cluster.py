"""A real SLURM on this machine: munged, slurmctld and slurmd on loopback, from Debian's packages, as root."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import teardown
from .teardown import SYSTEM, processes_of

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sinfo", "squeue", "scancel", "sbatch")

CONFIGURATION = """
ClusterName={name}
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
SlurmdPort={port_of_node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
ReturnToService=2
MinJobAge=3600
KillWait=5
OverTimeLimit=0
JobRequeue=0
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=1,defer
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _minutes(limit: str) -> int:
    """days-hours:minutes:seconds, from the end, as squeue writes a limit."""
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, _ = [0] * (3 - len(parts)) + parts
    return (24 * int(days or 0) + hours) * 60 + minutes


def _megabytes(memory: str) -> int:
    """As squeue writes it: 1000M, 2G."""
    return int(float(memory[:-1]) * {"M": 1, "G": 1024, "T": 1024**2}[memory[-1]])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for made in sockets:
        made.bind(("127.0.0.1", 0))
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports


@dataclass(frozen=True)
class ClusterJob:
    """A SLURM job: its pieces of work are jobs of Snakemake, one or, in a group, several."""

    number: str
    state: str
    minutes: int
    memory_mb: int
    resources: str
    work: frozenset[str]

    @property
    def alive(self) -> bool:
        return self.state in ("RUNNING", "COMPLETING")

    def has(self, rule: str) -> bool:
        """Whether a job of this rule is part of it."""
        return any(piece.startswith(f"{rule}:") for piece in self.work)


class Cluster:
    """SLURM with one node in ``folder``; a context manager. ``environment``: for its clients.

    The node has twice the processors of this machine: jobs wait for files and for each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.node = folder, socket.gethostname().split(".")[0]
        self.name = f"test{os.getpid()}"
        port, port_of_node = _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 500
        self.munge = folder / "munge" / "socket"
        self.configuration = folder / "slurm.conf"
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(
            CONFIGURATION.format(
                name=self.name,
                node=self.node,
                folder=folder,
                munge=self.munge,
                port=port,
                port_of_node=port_of_node,
                cpus=2 * len(os.sched_getaffinity(0)),
                memory=memory,
            )
        )
        # A GPU in name only, which jobs ask for and wait for.
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        self.environment = {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": _path()}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._work: dict[str, frozenset[str]] = {}

    def __enter__(self) -> Cluster:
        self._undertaker = subprocess.Popen(
            [sys.executable, teardown.__file__, str(self.folder), self.name],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._link()
            self._start_munge()
            self._start("slurmctld", "slurmctld", "-D", "-c", "-f", str(self.configuration))
            self.start_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._undertaker.communicate()
        for process in self._running.values():
            process.wait()

    def _link(self) -> None:
        """The configuration where programs within a job look for it: they do not inherit SLURM_CONF."""
        if SYSTEM.exists() and not SYSTEM.is_symlink():
            raise RuntimeError(f"{SYSTEM} is there: this machine has a SLURM of its own, which the test would disturb")
        SYSTEM.unlink(missing_ok=True)
        SYSTEM.parent.mkdir(parents=True, exist_ok=True)
        SYSTEM.symlink_to(self.configuration)

    def processes(self) -> list[int]:
        """Its daemons, clients and jobs."""
        return processes_of(str(self.folder), self.name)

    def client(self, *command: str, check: bool = True) -> str:
        """What a client program prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def start_node(self) -> None:
        """Start slurmd and wait until the node is up."""
        self._start("slurmd", "slurmd", "-D", "-N", self.node, "-f", str(self.configuration))
        self._wait(
            lambda: self.client("sinfo", "-h", "-o", "%T", check=False).strip() in ("idle", "mixed", "allocated")
        )

    def kill_node(self) -> None:
        """kill -9 of slurmd; its jobs live on."""
        self._running.pop("slurmd").kill()

    def jobs(self) -> list[ClusterJob]:
        """Every job that the controller remembers, in the order of submission."""
        columns = "JobID:|,State:|,TimeLimit:|,MinMemory:|,tres-per-job:|"
        lines = self.client("squeue", "-h", "-t", "all", "--sort=i", "-O", columns).splitlines()
        fields = (line.split("|")[:5] for line in lines)
        return [
            ClusterJob(number, state, _minutes(limit), _megabytes(memory), resources, self._pieces(number))
            for number, state, limit, memory, resources in fields
        ]

    def _pieces(self, number: str) -> frozenset[str]:
        """The jobs of Snakemake that a SLURM job was submitted for."""
        if number not in self._work:
            script = self.client("scontrol", "write", "batch_script", number, "-")
            (found,) = re.findall(r"--target-jobs (.*?) --", script)
            self._work[number] = frozenset(shlex.split(found))
        return self._work[number]

    def _start_munge(self) -> None:
        key, log = self.folder / "munge" / "key", self.folder / "munge" / "log"
        subprocess.run(["mungekey", "--create", f"--keyfile={key}"], env=self.environment, check=True)
        # As root with a folder of its own; --force, since folders above may be writable by others.
        self._start(
            "munged",
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={self.munge}",
            f"--log-file={log}",
            f"--pid-file={self.folder / 'munge' / 'pid'}",
            f"--seed-file={self.folder / 'munge' / 'seed'}",
        )
        self._wait(self.munge.exists)

    def _start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as log:
            self._running[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def _wait(self, ready: object, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():  # type: ignore[operator]
            for name, process in self._running.items():
                if process.poll() is not None:
                    log = (self.folder / f"{name}.out").read_text(errors="replace")
                    raise RuntimeError(f"{name} ended at once: {log[-2000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"SLURM is not up after {seconds:.0f} s; its logs are in {self.folder}")
            time.sleep(0.3)
