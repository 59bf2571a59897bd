"""Runs through the SLURM profile, on a real SLURM that misbehaves: the same values as an undisturbed local run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import REPOSITORY, snakemake
from tests.workflow.test_smoke import tables

from .cluster import Cluster, missing

#: Of the smoke preset: simulated and trained networks, their avalanches, exponents and scaling; every kind of resource that rules ask for.
TARGETS = ("--", "results/scaling/scaling.parquet", "results/theory/phase_diagram.parquet")
COMPARED = ("activity", "events", "moments", "exponents", "comparisons", "distributions", "cutoffs", "learning", "scaling", "controls", "survival", "susceptibility", "phase_diagram")  # fmt: skip
PROFILE = REPOSITORY / "workflow/profiles/slurm"
#: Of this rule the first attempt asks for less memory than Python takes to start; the second for enough.
HUNGRY = "solve_theory"
ALIVE = ("RUNNING", "COMPLETING")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a local run."""
    folder = tmp_path_factory.mktemp("local")
    done = subprocess.run(
        [*snakemake(folder, "--cores", "2"), *TARGETS], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    absent = missing()
    assert not absent, f"install SLURM and munge first (make test-slurm does): {', '.join(absent)} missing"
    with Cluster(tmp_path_factory.mktemp("slurm"), cpus=4) as made:
        yield made


def submit(folder: Path, cluster: Cluster) -> subprocess.Popen[bytes]:
    """A run through the profile, in a process group of its own."""
    command = snakemake(
        folder,
        "--workflow-profile",
        str(PROFILE),
        "--jobs",
        "8",
        "--default-resources",
        "slurm_partition=main",
        "mem_mb=500",
        "runtime=10",
        "--set-resources",
        f"{HUNGRY}:mem_mb=30 if attempt == 1 else 2000",
        "--slurm-init-seconds-before-status-checks",
        "3",
        "--seconds-between-status-checks",
        "3",
        "--latency-wait",
        "5",
    )
    with open(folder / "run.log", "ab") as log:
        return subprocess.Popen(
            [*command, *TARGETS], stdout=log, stderr=log, env=cluster.environment, start_new_session=True
        )


class Watch(threading.Thread):
    """Looks at the queue every second: which pieces of work ever ran twice at once, and how often each was submitted."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster, self.twice, self.ended = cluster, set[str](), threading.Event()

    def run(self) -> None:
        while not self.ended.wait(1):
            running = Counter(comment for _, state, comment in self.cluster.jobs() if state in ALIVE)
            self.twice |= {comment for comment, count in running.items() if count > 1}


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path, seconds: float = 300
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        log = (folder / "run.log").read_text(errors="replace")
        assert process.poll() is None, f"the run ended early: {log[-3000:]}"
        assert time.monotonic() < deadline, f"nothing happened: {log[-3000:]}"
        time.sleep(1)


def test_a_slurm_that_misbehaves(undisturbed: Path, cluster: Cluster, tmp_path: Path) -> None:
    watch = Watch(cluster)
    watch.start()
    first = submit(tmp_path, cluster)

    def running() -> list[tuple[str, str, str]]:
        return [job for job in cluster.jobs() if job[1] == "RUNNING"]

    # A job is cancelled midway.
    wait_for(lambda: len(running()) >= 2, first, tmp_path)
    number, _, cancelled = running()[0]
    cluster.client("scancel", number)
    # slurmd dies and comes back; its jobs live on.
    wait_for(lambda: sum(state == "COMPLETED" for _, state, _ in cluster.jobs()) >= 8, first, tmp_path)
    cluster.kill_node()
    time.sleep(4)
    cluster.start_node()
    # The main process dies, with jobs in the queue.
    wait_for(
        lambda: sum(state == "COMPLETED" for _, state, _ in cluster.jobs()) >= 18 and len(running()) >= 2,
        first,
        tmp_path,
    )
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert running(), "the jobs of a dead run live on"
    subprocess.run([str(PROFILE / "cancel.sh"), str(tmp_path)], env=cluster.environment, check=True, timeout=60)
    assert not running()
    unlocked = subprocess.run(snakemake(tmp_path, "--unlock"), env=cluster.environment, check=False, timeout=120)
    assert unlocked.returncode == 0
    second = submit(tmp_path, cluster)
    assert second.wait(1500) == 0, (tmp_path / "run.log").read_text(errors="replace")[-4000:]
    watch.ended.set()
    jobs = cluster.jobs()
    # Submitted again, and done: what was cancelled, and what had too little memory at first.
    for work in (cancelled, next(comment for _, _, comment in jobs if HUNGRY in comment)):
        states = [state for _, state, comment in jobs if comment == work]
        assert len(states) >= 2, (work, states)
        assert states.count("COMPLETED") == 1, (work, states)
    assert not watch.twice
    for name in COMPARED:
        pd.testing.assert_frame_equal(tables(tmp_path, name), tables(undisturbed, name), check_exact=True, obj=name)
    again = subprocess.run(
        [*snakemake(tmp_path, "--cores", "1"), *TARGETS],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "Nothing to be done" in again.stdout + again.stderr
