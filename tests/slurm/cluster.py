"""A real SLURM on this machine: munged, slurmctld and slurmd on loopback, from Debian's packages, as root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

SYSTEM = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sinfo", "squeue", "scancel", "sbatch")

CONFIGURATION = """
ClusterName=test
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
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for made in sockets:
        made.bind(("127.0.0.1", 0))
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports


class Cluster:
    """SLURM with one node of ``cpus`` processors in ``folder``; a context manager. ``environment``: for its clients."""

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.folder, self.node = folder, socket.gethostname().split(".")[0]
        port, port_of_node = _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 500
        self.munge = folder / "munge" / "socket"
        self.configuration = folder / "slurm.conf"
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(
            CONFIGURATION.format(
                node=self.node,
                folder=folder,
                munge=self.munge,
                port=port,
                port_of_node=port_of_node,
                cpus=cpus,
                memory=memory,
            )
        )
        self.environment = {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": _path()}
        self._linked = False
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
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
        self.client("scancel", "--user=root", check=False)
        for name in ("slurmd", "slurmctld", "munged"):
            self._stop(name)
        if self._linked:
            SYSTEM.unlink()

    def _link(self) -> None:
        """The configuration where programs within a job look for it: they do not inherit SLURM_CONF."""
        if SYSTEM.exists() and not SYSTEM.is_symlink():
            raise RuntimeError(f"{SYSTEM} is there: this machine has a SLURM of its own, which the test would disturb")
        SYSTEM.unlink(missing_ok=True)
        SYSTEM.parent.mkdir(parents=True, exist_ok=True)
        SYSTEM.symlink_to(self.configuration)
        self._linked = True

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

    def jobs(self) -> list[tuple[str, str, str]]:
        """(id, state, comment) of every job that the controller remembers; the comment is the rule and its wildcards."""
        lines = self.client("squeue", "--all", "-h", "-t", "all", "-o", "%i|%T|%k").splitlines()
        return [tuple(line.split("|", 2)) for line in lines]  # type: ignore[misc]

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

    def _stop(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

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
