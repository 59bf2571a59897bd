"""Complete runs that are killed -9 at random moments, each several times, and must end in the values of an undisturbed run."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .runs import differences, kill_group, owned_command, run, running_jobs, start, tail

#: What is killed, and how often among a hundred.
TARGETS = {"one job": 40, "main process alone": 30, "main process and its jobs": 30}


@dataclass
class Campaign:
    """What was killed, and how the runs ended."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    fewest: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.kills.values())


def kill_runs(
    reference: Path,
    work: Path,
    runs: int,
    kills: int,
    seconds: float,
    rng: random.Random,
    say: Callable[[str], None],
) -> Campaign:
    """At least ``runs`` runs, each from an empty folder in ``work``, and at least ``kills`` kills.

    ``seconds``: about as long as a run takes. Runs that end before their share of kills leave it to the next.
    """
    made = Campaign()
    begun = time.monotonic()
    while made.runs < runs or made.total < kills:
        share = math.ceil((kills - made.total) / max(1, runs - made.runs))
        folder = work / f"run-{made.runs + 1}"
        folder.mkdir(parents=True)
        before = made.total
        faults = _kill_one_run(made, folder, reference, max(1, share), seconds, rng)
        made.runs += 1
        made.faults += [f"{folder.name}: {fault}" for fault in faults]
        count = made.total - before
        made.fewest = count if made.runs == 1 else min(made.fewest, count)
        made.seconds = time.monotonic() - begun
        say(
            f"run {made.runs} of {runs}: {count} kills ({made.total} of {kills} in {made.seconds / 60:.0f} minutes), "
            + ("; ".join(faults) if faults else "all values as in the undisturbed run")
        )
        if not faults:
            shutil.rmtree(folder)
    return made


def _kill_one_run(
    made: Campaign, folder: Path, reference: Path, kills: int, seconds: float, rng: random.Random
) -> list[str]:
    faults: list[str] = []
    command = owned_command()
    process = start(folder, command)
    for _ in range(kills):
        # On average the kills end when an undisturbed run would: one that is killed takes longer.
        moment = time.monotonic() + rng.uniform(0, 2 * seconds / kills)
        while time.monotonic() < moment:
            if process.poll() is not None and (process.returncode == 0 or not _restarted(folder, faults)):
                break
            if process.poll() is not None:
                process = start(folder, command)
            time.sleep(0.05)
        if process.poll() is not None:
            break
        _kill(made, folder, process, rng)
        if process.poll() is not None:
            faults += [f"after a kill: {line}" for line in differences(folder, reference, complete=False)]
            time.sleep(rng.choice((0.0, rng.uniform(0, 2))))
            process = start(folder, command)
    for _ in range(5):
        if process.wait() == 0 or not _restarted(folder, faults):
            break
        process = start(folder, command)
    if process.wait() != 0:
        faults.append(f"the run did not end well: {tail(folder)}")
        return faults
    faults += differences(folder, reference)
    again = run(folder, [*command, "--dry-run"])
    if "Nothing to be done" not in again.stdout:
        faults.append(f"the run is not complete: {again.stdout[-300:]}")
    return faults


def _restarted(folder: Path, faults: list[str]) -> bool:
    """Whether a run that ended with an error may be started again: a job was killed, and no lock was in the way."""
    if "cannot be locked" in tail(folder):
        faults.append("the lock of a dead run was not removed")
        return False
    return True


def _kill(made: Campaign, folder: Path, process: subprocess.Popen[bytes], rng: random.Random) -> None:
    (what,) = rng.choices(list(TARGETS), weights=list(TARGETS.values()))
    jobs = running_jobs(folder)
    if what == "one job" and jobs:
        victim = rng.choice(jobs)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has just ended
        made.jobs[victim.rule] += 1
    elif what == "main process and its jobs":
        kill_group(process)
        made.jobs.update(job.rule for job in jobs)
    else:
        what = "main process alone"
        process.kill()
        process.wait()
        made.orphans += len(jobs)
    made.kills[what] += 1
