"""The smoke preset through the SLURM profile, on a real SLURM that misbehaves: the same values as an undisturbed local run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import REPOSITORY, snakemake
from tests.workflow.test_smoke import COMPARED, FIGURES, tables

from .cluster import Cluster, ClusterJob, missing
from .teardown import SYSTEM, processes_of

PROFILE = REPOSITORY / "workflow/profiles/slurm"
#: Of these rules the first attempt asks for less memory than their jobs take, and for a minute where the job takes longer.
HUNGRY, SLOW = "fit_exponents", "solve_theory"
#: SLURM looks for jobs beyond their limit every 30 seconds: one of a minute lives for 90 at most.
SECONDS = 95
#: Its jobs ask for a GPU.
ON_GPU = "learn_plane"
#: Imported by each Python that a job starts.
SLEEPER = f"""
import sys, time
if any(".{SLOW}.py" in argument for argument in sys.orig_argv):
    time.sleep({SECONDS})
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    absent = missing()
    assert not absent, f"install SLURM and munge first (make test-slurm does): {', '.join(absent)} missing"
    with Cluster(tmp_path_factory.mktemp("slurm")) as made:
        yield made


def submit(folder: Path, cluster: Cluster) -> subprocess.Popen[bytes]:
    """A run through the profile, in a process group of its own."""
    command = snakemake(
        folder,
        "--workflow-profile",
        str(PROFILE),
        "--default-resources",
        "slurm_partition=main",
        "--set-resources",
        f"{HUNGRY}:mem_mb=300 if attempt == 1 else 2000",
        f"{SLOW}:runtime=1 if attempt == 1 else 10",
        f"{SLOW}:slurm_extra='--nice=-1000'",
        f"{ON_GPU}:gpu=1",
        "--slurm-init-seconds-before-status-checks",
        "2",
        "--latency-wait",
        "5",
    )
    sleeper = folder / "sleeper"
    sleeper.mkdir(exist_ok=True)
    (sleeper / "sitecustomize.py").write_text(SLEEPER)
    environment = {
        **cluster.environment,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(sleeper), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "",
        "OMP_NUM_THREADS": "1",
    }
    with open(folder / "run.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


class Watch(threading.Thread):
    """Looks at the queue every second: which pieces of work were ever at work twice at once."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster, self.twice, self.ended = cluster, set[str](), threading.Event()

    def run(self) -> None:
        while not self.ended.wait(1):
            running = Counter(piece for job in self.cluster.jobs() if job.alive for piece in job.work)
            self.twice |= {piece for piece, count in running.items() if count > 1}


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path, seconds: float = 200
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        log = (folder / "run.log").read_text(errors="replace")
        assert process.poll() is None, f"the run ended early: {log[-3000:]}"
        assert time.monotonic() < deadline, f"nothing happened: {log[-3000:]}"
        time.sleep(1)


def test_an_aborted_test_leaves_nothing(tmp_path: Path) -> None:
    """kill -9 of the process that brought a cluster up: daemons, a job at work and the link to the configuration go with it."""
    program = f"""
from pathlib import Path
from tests.slurm.cluster import Cluster
with Cluster(Path({str(tmp_path)!r})) as cluster:
    cluster.client("sbatch", "--output=/dev/null", "--wrap=sleep 600")
    print(cluster.name, flush=True)
    input()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    name = owner.stdout.readline().strip()

    def at_work() -> set[str]:
        lines = [Path(f"/proc/{process}/cmdline") for process in processes_of(str(tmp_path), name)]
        return {line.read_bytes().split(b"\0")[0].decode() for line in lines if line.exists()}

    deadline = time.monotonic() + 30
    while "sleep" not in at_work():
        assert time.monotonic() < deadline, at_work()
        time.sleep(0.2)
    assert {"munged", "slurmctld", "slurmd"} <= at_work()
    assert SYSTEM.is_symlink()
    owner.kill()
    owner.wait()
    while at_work() or SYSTEM.is_symlink():
        assert time.monotonic() < deadline, at_work()
        time.sleep(0.2)


def test_a_slurm_that_misbehaves(smoke: Path, cluster: Cluster, tmp_path: Path) -> None:
    watch = Watch(cluster)
    watch.start()
    first = submit(tmp_path, cluster)

    def running() -> list[ClusterJob]:
        return [job for job in cluster.jobs() if job.state == "RUNNING"]

    def completed() -> int:
        return sum(job.state == "COMPLETED" for job in cluster.jobs())

    # A group of jobs is cancelled midway, and submitted again.
    wait_for(lambda: any(len(job.work) > 1 for job in running()), first, tmp_path)
    cancelled = next(job for job in running() if len(job.work) > 1)
    time.sleep(5)
    cluster.client("scancel", cancelled.number)
    wait_for(lambda: sum(job.work == cancelled.work for job in cluster.jobs()) > 1, first, tmp_path)
    # slurmd dies and comes back; its jobs live on.
    wait_for(lambda: len(running()) >= 2, first, tmp_path)
    survivors = {job.number for job in running()}
    cluster.kill_node()
    time.sleep(3)
    cluster.start_node()
    wait_for(lambda: completed() >= 3, first, tmp_path)
    assert survivors.isdisjoint(job.number for job in cluster.jobs() if job.state in ("NODE_FAIL", "FAILED"))
    # The main process dies, with jobs at work.
    wait_for(lambda: len(running()) >= 2, first, tmp_path)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert running(), "the jobs of a dead run live on"
    subprocess.run([str(PROFILE / "cancel.sh"), str(tmp_path)], env=cluster.environment, check=True, timeout=60)
    assert not running()
    unlocked = subprocess.run(snakemake(tmp_path, "--unlock"), env=cluster.environment, check=False, timeout=120)
    assert unlocked.returncode == 0
    before = {job.number for job in cluster.jobs()}
    second = submit(tmp_path, cluster)
    assert second.wait(900) == 0, (tmp_path / "run.log").read_text(errors="replace")[-4000:]
    watch.ended.set()
    watch.join()
    assert not watch.twice
    jobs = cluster.jobs()
    done = Counter(piece for job in jobs if job.state == "COMPLETED" for piece in job.work)
    assert set(cancelled.work) <= set(done)
    assert max(done.values()) == 1, "what was done once is not done again"
    # Too little at first, more on the second attempt, and every job of the rule done.
    resumed = [job for job in jobs if job.number not in before]
    short = [job for job in resumed if job.has(HUNGRY) and job.memory_mb == 300]
    log = (cluster.folder / "slurmd.log").read_text(errors="replace")
    assert short
    assert all(f"[{job.number}.batch] error: Exceeded job memory limit" in log for job in short)
    assert not [job for job in short if job.state == "COMPLETED"]
    assert {job.state for job in resumed if job.has(HUNGRY) and job.memory_mb == 2000} == {"COMPLETED"}
    slow = [(job.state, job.minutes) for job in resumed if job.has(SLOW)]
    assert slow == [("TIMEOUT", 1), ("COMPLETED", 10)]
    assert all((job.resources == "gres:gpu:1") == job.has(ON_GPU) for job in jobs)
    for name in COMPARED:
        pd.testing.assert_frame_equal(tables(tmp_path, name), tables(smoke, name), check_exact=True, obj=name)
    for figure in FIGURES:
        one, two = ((folder / "results" / "figures" / f"{figure}.svg").read_bytes() for folder in (smoke, tmp_path))
        assert one == two
    assert (smoke / "results/summary.md").read_bytes() == (tmp_path / "results/summary.md").read_bytes()
    again = subprocess.run(
        snakemake(tmp_path, "--cores", "1"),
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "Nothing to be done" in again.stdout + again.stderr
