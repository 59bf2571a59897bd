"""One run at a time in a folder, and after a crash the next one ends what is left of it and goes on.

``python -m quasicrit.stages.run_owner snakemake ARGUMENTS`` (every run of the Makefile) notes its process in
``.snakemake/quasicrit-owner.json`` and then becomes Snakemake, which works in the current folder. Every process of the run carries
the number of the run in its environment. Snakemake alone cannot tell the lock of a dead run from that of a live one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import psutil

from quasicrit.errors import QuasicritError, RunError
from quasicrit.tables import atomic_path

__all__ = [
    "MARK",
    "OWNER",
    "Owner",
    "become",
    "begin",
    "claim",
    "end_processes",
    "processes_of",
    "read_owner",
]

#: The environment variable that every process of a run carries.
MARK = "QUASICRIT_RUN"
#: Where a folder's last run is noted.
OWNER = Path(".snakemake/quasicrit-owner.json")
_LOCKS = Path(".snakemake/locks")
_MODULE = "quasicrit.stages.run_owner"


@dataclass(frozen=True)
class Owner:
    """The main process of a run.

    ``host``: the machine, and on Linux its space of process numbers (a container has its own). ``started``: what tells the process
    from a later one of the same number: boot and ticks of the kernel's clock on Linux, where no change of the time moves them, and
    seconds elsewhere. ``since``: the same for people.
    """

    run: str
    pid: int
    host: str
    started: str
    since: str
    folder: str

    @property
    def is_here(self) -> bool:
        """Whether its process could be seen from here."""
        return self.host == _host()

    @property
    def is_alive(self) -> bool:
        """Whether its process, which must be ``is_here``, still runs."""
        return _started(self.pid) == self.started


def _host() -> str:
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str | None:
    """What tells the process from others of its number; None if there is none, or it has ended and waits for its parent."""
    try:
        if sys.platform == "linux":
            # After the name, which may hold anything: the state, and 19 fields on the start in ticks since boot.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
            return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except (OSError, psutil.Error):
        return None


def read_owner(folder: Path) -> Owner | None:
    """The last run of the Makefile in ``folder``; None if there was none, or its note is damaged."""
    try:
        return Owner(**json.loads((folder / OWNER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def processes_of(run: str) -> list[psutil.Process]:
    """The processes on this machine that carry the number of the run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes(run: str) -> int:
    """Kill the processes of a run until none is left, and say how many there were; they leave no file half-written.

    Raises RunError if some live on (they hang in the kernel, or belong to another user).
    """
    ended: set[int] = set()
    for _ in range(10):
        processes = processes_of(run)
        if not processes:
            return len(ended)
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
                ended.add(process.pid)
        psutil.wait_procs(processes, timeout=5)
    left = ", ".join(str(process.pid) for process in processes)
    raise RunError(f"processes of the last run cannot be ended: {left}; end them, and start again")


def _foreign_snakemake(folder: Path) -> bool:
    """Whether a Snakemake that was not started through here works in ``folder``."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if (
                any(Path(word).name == "snakemake" for word in words)
                and not any(_MODULE in word for word in words)  # ours, or its shell
                and MARK not in process.environ()
                and Path(process.cwd()) == folder
            ):
                return True
    return False


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Of two that start at once, the second waits until the first has noted itself."""
    path = folder / OWNER.with_suffix(".lock")
    try:
        path.parent.mkdir(exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}): a run needs a folder that it can write to"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def claim(folder: Path, command: Sequence[str]) -> str | None:
    """Note this process as the owner of the run in ``folder``; its number, or None where Snakemake must decide.

    Where the last owner is dead, its orphans are ended and its lock is removed (``command`` with --unlock). A lock of an unknown owner, of one on
    another machine, or of a Snakemake that was started without this stays, with a sentence on what to do.

    Raises RunError if the owner is alive, the lock cannot be removed, or the note cannot be written.
    """
    with _one_at_a_time(folder):
        owner = read_owner(folder)
        if owner is not None and owner.folder != str(folder):
            owner = None  # the note of a folder of which this one is a copy
        locked = any((folder / _LOCKS).glob("*"))
        if owner is not None and owner.is_here:
            if owner.is_alive:
                raise RunError(
                    f"another run (process {owner.pid}, since {owner.since}) is using {folder}: wait for it or stop it"
                )
            ended = end_processes(owner.run)
            if ended:
                _say(
                    f"Processes of the last run (process {owner.pid}, since {owner.since}) that had outlived it were ended: {ended}."
                )
            if locked and not _foreign_snakemake(folder):
                _unlock(command, owner.run)
                _say(
                    f"The last run (process {owner.pid}, since {owner.since}) had died: its lock was removed, and this run goes on."
                )
                locked = False
        if locked:
            holder = (
                f"process {owner.pid} on {owner.host.partition(' ')[0]}"
                if owner is not None and not owner.is_here
                else "Snakemake"
            )
            _say(
                f"{folder} is locked by {holder}, and whether that still runs cannot be seen from here: if Snakemake refuses now, "
                "and no other run is using the folder, call snakemake --unlock and start again."
            )
            return None
        run = uuid.uuid4().hex
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        made = Owner(run, os.getpid(), _host(), str(_started(os.getpid())), since, str(folder))
        with atomic_path(folder / OWNER) as temporary:
            temporary.write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")
        return run


def _unlock(command: Sequence[str], run: str) -> None:
    # As a process of the dead run: should this one be killed now, the next ends it before it could remove a later lock.
    environment = {**os.environ, MARK: run}
    done = subprocess.run(
        [command[0], "--unlock", *command[1:]], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RunError(f"the lock of the last run cannot be removed: {said[-1] if said else 'no reason given'}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def begin(folder: Path, results: Path) -> None:
    """Called by every Snakemake that has taken the lock of ``folder``, before its first job.

    One that was started without ``claim`` makes the folder forget a dead owner, who would be taken to own its lock.

    Raises RunError if nothing can be written to ``results``: Snakemake would show a traceback instead.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise RunError(
            f"{results} cannot be written ({error.strerror}): make it writable, or set the key results"
        ) from None
    if MARK not in os.environ:
        owner = read_owner(folder)
        if owner is not None and not (owner.is_here and owner.is_alive):
            (folder / OWNER).unlink(missing_ok=True)


def become(command: Sequence[str]) -> NoReturn:
    """Claim the current folder and become ``command``, a call of Snakemake; exit code 2 and one sentence if it cannot be claimed."""
    try:
        run = claim(Path.cwd(), command)
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        os.execvpe(command[0], list(command), environment if run is None else {**environment, MARK: run})
    except QuasicritError as error:
        _say(str(error))
    except OSError as error:
        _say(f"{command[0]} cannot be started ({error.strerror}): call make setup")
    sys.exit(2)


if __name__ == "__main__":
    become(sys.argv[1:])
