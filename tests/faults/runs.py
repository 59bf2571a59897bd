"""Runs of the smoke preset in a folder, as ``make figures`` starts them; what they made, file by file, against another run."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from quasicrit.networks.mlp import load_tensors
from quasicrit.stages.run_owner import processes_of, read_owner
from quasicrit.tables import read_provenance

REPOSITORY = Path(__file__).parents[2]
#: Of a run's folder: when and how fast, which differs from run to run.
NOT_COMPARED = ("logs", "benchmarks")


def snakemake_command(*arguments: str, cores: int = 2) -> list[str]:
    """Snakemake with the options of the Makefile, on the smoke preset, in the current folder."""
    return [
        str(Path(sys.executable).with_name("snakemake")),
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--cores", str(cores), "--scheduler", "greedy"),
        *("--rerun-incomplete", "--quiet", "host", "reason"),
        *("--configfile", str(REPOSITORY / "workflow/presets/smoke.yaml")),
        *arguments,
    ]


def owned_command(*arguments: str, cores: int = 2) -> list[str]:
    """The same as the Makefile starts it."""
    return [sys.executable, "-m", "quasicrit.stages.run_owner", *snakemake_command(*arguments, cores=cores)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` to its end; both streams are in ``stdout``."""
    return subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1800,
    )


def start(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command in ``folder``, in a group of its own; what it says goes to ``run.log`` there."""
    with open(folder / "run.log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, env=_environment(), stdout=log, stderr=log, start_new_session=True)


def tail(folder: Path) -> str:
    """The end of what a started command said."""
    return (folder / "run.log").read_text(encoding="utf-8", errors="replace")[-3000:]


@dataclass(frozen=True)
class RunningJob:
    """A process of the run that executes a rule's script."""

    pid: int
    rule: str


def running_jobs(folder: Path) -> list[RunningJob]:
    """The jobs of the last run in ``folder``, orphans included."""
    owner = read_owner(folder)
    found = []
    for process in processes_of(owner.run) if owner is not None else []:
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        script = re.search(r"\.snakemake/scripts/tmp[^.]+\.(\w+)\.py", words[1] if len(words) > 1 else "")
        if script:
            found.append(RunningJob(process.pid, script[1]))
    return found


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and of all in its group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Product:
    """A job that is done: its rule, and its files relative to the folder of the run."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def products(folder: Path) -> list[Product]:
    """The jobs of a complete run, from ``snakemake --detailed-summary``."""
    done = subprocess.run(
        snakemake_command("--nolock", "--detailed-summary"),
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    jobs: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for row in csv.DictReader(done.stdout.splitlines(), delimiter="\t"):
        if row["status"] == "ok" or row["log-file(s)"] != "-":
            jobs.setdefault((row["rule"], row["log-file(s)"]), (row["input-file(s)"], []))[1].append(row["output_file"])
    return [
        Product(rule, tuple(inputs.split(",")) if inputs else (), tuple(outputs))
        for (rule, _), (inputs, outputs) in jobs.items()
    ]


def files_of(folder: Path) -> list[Path]:
    """What a run has under final names, relative to its results."""
    results = folder / "results"
    found = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
    return sorted(
        path
        for path in found
        if path.parts[0] not in NOT_COMPARED and not any(part.startswith(".") for part in path.parts)
    )


def differences(folder: Path, reference: Path, complete: bool = True) -> list[str]:
    """What differs between the results of two runs, a line each: tables by their values, all else by its bytes.

    Not ``complete``: only what ``folder`` has. Every file of a run that is under way must be as in the reference, too.
    """
    here, there = files_of(folder), files_of(reference)
    lines = [f"{path}: not in the reference" for path in here if path not in there]
    if complete:
        lines += [f"{path}: missing" for path in there if path not in here]
    for path in here:
        one, two = folder / "results" / path, reference / "results" / path
        if path in there and one.read_bytes() != two.read_bytes() and not _same_values(one, two):
            lines.append(f"{path}: other content")
    return lines


def _same_values(one: Path, two: Path) -> bool:
    """Whether two tables hold the same values; their provenance may differ."""
    if one.suffix != ".parquet":
        return False
    read_provenance(one)
    left, right = (pq.read_table(path).to_pandas() for path in (one, two))
    return bool(left.equals(right)) and list(left.columns) == list(right.columns)


def verify(path: Path) -> None:
    """Read a table as the next job would; raises TableError for one that is damaged."""
    if path.suffix == ".parquet":
        read_provenance(path)
    else:
        load_tensors(path)
