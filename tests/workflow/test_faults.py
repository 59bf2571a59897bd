"""The short version of ``make faults`` (tests/faults): a killed run, and each other fault once in its cheapest form."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from quasicrit.tables import read_provenance
from tests.faults import scenarios
from tests.faults.disks import can_mount
from tests.faults.runs import Product, kill_group, owned_command, products, run, running_jobs, start
from tests.faults.scenarios import Outcome

from .test_smoke import COMPARED, FIGURES, tables

mounts = pytest.mark.skipif(not can_mount(), reason="mounts a tmpfs: needs root")


@pytest.fixture(scope="module")
def jobs(smoke: Path) -> list[Product]:
    made = products(smoke)
    assert len(made) > 50
    return made


@pytest.fixture(scope="module")
def small(jobs: list[Product]) -> Product:
    """A job that takes no time and reads nothing."""
    return next(job for job in jobs if job.outputs == ("results/points.parquet",))


def good(outcome: Outcome) -> None:
    assert not outcome.faults, outcome.faults
    assert outcome.times
    assert outcome.came


def test_killed_and_resumed_with_other_blocks_gives_the_same_values(smoke: Path, tmp_path: Path) -> None:
    """kill -9 of jobs, of the main process alone and with its jobs, at random moments, one core then two, blocks of another size."""
    rng = random.Random(20260101)
    settings = ("--keep-going", "--config", "block_size=1.0e6")
    killed_jobs = killed_runs = 0
    for cores in (1, 2, 2):
        process = start(tmp_path, owned_command(*settings, cores=cores))
        while process.poll() is None and not running_jobs(tmp_path):
            time.sleep(0.2)
        deadline = time.monotonic() + rng.uniform(8, 20)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(rng.uniform(1, 4))
            for job in running_jobs(tmp_path)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(job.pid, signal.SIGKILL)
                    killed_jobs += 1
        if process.poll() is None:
            refused = run(tmp_path, owned_command(*settings))
            assert refused.returncode == 2
            assert refused.stdout.startswith(f"another run (process {process.pid}, since ")
            if killed_runs % 2:
                kill_group(process)
            else:
                process.kill()  # its jobs live on
                process.wait()
            killed_runs += 1
        for path in (tmp_path / "results").glob("**/[!.]*.parquet"):
            read_provenance(path)  # nothing half-written under a final name
    assert killed_jobs >= 2
    assert killed_runs >= 1
    done = run(tmp_path, owned_command(*settings))
    assert done.returncode == 0, done.stdout[-4000:]
    said = done.stdout + (tmp_path / "run.log").read_text(encoding="utf-8")
    assert said.count("its lock was removed, and this run goes on") == killed_runs
    for name in COMPARED:
        pd.testing.assert_frame_equal(tables(tmp_path, name), tables(smoke, name), check_exact=True, obj=name)
    for figure in FIGURES:
        one, two = ((folder / "results" / "figures" / f"{figure}.svg").read_bytes() for folder in (smoke, tmp_path))
        assert one == two
    assert (smoke / "results/summary.md").read_bytes() == (tmp_path / "results/summary.md").read_bytes()


def test_every_kind_of_table_says_that_it_is_damaged(smoke: Path, tmp_path: Path, jobs: list[Product]) -> None:
    rng = random.Random(1)
    found = scenarios.kinds_of_tables(jobs, rng)
    assert len(found) > 20
    good(scenarios.damaged_tables(smoke, tmp_path, found, rng, each=2))


def test_a_job_with_a_damaged_input_says_so(smoke: Path, tmp_path: Path, jobs: list[Product]) -> None:
    good(scenarios.damaged_inputs(smoke, tmp_path, jobs, ["results/theory/lines.parquet"], random.Random(1)))


@mounts
@pytest.mark.parametrize(
    "fault", [scenarios.read_only, lambda *given: scenarios.full_disk_in_jobs(*given, random.Random(1))]
)
def test_a_disk_that_cannot_be_written(
    smoke: Path, tmp_path: Path, small: Product, fault: Callable[[Path, Path, list[Product]], Outcome]
) -> None:
    good(fault(smoke, tmp_path, [small]))


def test_vanished_files_come_back(smoke: Path, tmp_path: Path, small: Product) -> None:
    figure = "results/figures/figure-2-phase-diagram.png"
    good(scenarios.vanished_files(smoke, tmp_path, [*small.outputs, "results/theory/lines.parquet", figure]))


def test_a_skewed_clock_changes_no_value(smoke: Path, tmp_path: Path) -> None:
    good(scenarios.skewed_clock(smoke, tmp_path, ["results/theory/lines.parquet", "results/points.parquet"]))
