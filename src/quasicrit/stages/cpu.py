"""CPU time outside the science: what passes before the work of a job begins, and Snakemake's own.

A job notes in the last line of its log its CPU seconds at the entry of its body (start of the interpreter, imports, reading of its
params) and at its end; the main process of a run notes its own in ``logs/snakemake.jsonl`` when it ends, a line per run. Imports that
a stage makes within its body count as work. Runs killed by kill -9 note nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quasicrit.errors import TableError

if TYPE_CHECKING:  # every job imports this module, and none the configuration
    from quasicrit.stages.plan import Job

__all__ = ["MAIN", "Overhead", "cpu_line", "cpu_seconds", "note_main_process", "overhead_of"]

#: The main process among the stages.
MAIN = "snakemake"


def cpu_seconds() -> float:
    """CPU seconds of this process, user and system, with those of the children that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def cpu_line(start: float) -> str:
    """The last line of a job's log: CPU seconds when its work began and now."""
    return json.dumps({"cpu_start": round(start, 2), "cpu": round(cpu_seconds(), 2)}) + "\n"


def note_main_process(results: str) -> None:
    """Append the CPU seconds of this process, without its children, which are the jobs; for the end of a run."""
    with contextlib.suppress(OSError):  # a full disk must not fail a run that is done
        path = _main_log(results)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cpu": round(time.process_time(), 2)}) + "\n")


def _main_log(results: str) -> Path:
    return Path(results) / "logs" / f"{MAIN}.jsonl"


@dataclass(frozen=True)
class Overhead:
    """CPU seconds outside the science and of everything, over ``jobs`` jobs."""

    jobs: int
    start_seconds: float
    cpu_seconds: float

    @property
    def share(self) -> float:
        """Outside the science, of everything; NaN where nothing was measured."""
        return self.start_seconds / self.cpu_seconds if self.cpu_seconds else math.nan


def overhead_of(results: str, jobs: Sequence[Job]) -> dict[str, Overhead]:
    """By stage the jobs of a run whose logs hold CPU times; under ``MAIN`` all runs of the main process, if they noted any.

    Raises TableError for a line of the main process that holds no CPU time.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for job in jobs:
        times = _read_job(Path(results) / "logs" / f"{job.name}.log")
        if times is not None:
            found.setdefault(job.stage, []).append(times)
    made = {
        stage: Overhead(len(rows), sum(start for start, _ in rows), sum(total for _, total in rows))
        for stage, rows in found.items()
    }
    path = _main_log(results)
    if path.is_file():
        try:
            own = sum(float(json.loads(line)["cpu"]) for line in path.read_text(encoding="utf-8").splitlines())
        except (ValueError, KeyError, TypeError):
            raise TableError(
                f'{path}: each line must be {{"cpu": SECONDS}}, as a run writes it; delete the file to go without it'
            ) from None
        made[MAIN] = Overhead(0, own, own)
    return made


def _read_job(path: Path) -> tuple[float, float] | None:
    """CPU seconds before the work and in all from the last line of a log; None for a job that failed or noted none."""
    try:
        last = json.loads(path.read_text(encoding="utf-8", errors="replace").splitlines()[-1])
        return float(last["cpu_start"]), float(last["cpu"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
