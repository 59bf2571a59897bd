"""Whose run a folder holds: a lock goes only with a dead owner, and orphans with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from quasicrit.errors import RunError
from quasicrit.stages.run_owner import (
    MARK,
    OWNER,
    Owner,
    begin,
    claim,
    end_processes,
    processes_of,
    read_owner,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def unlock(tmp_path: Path) -> list[str]:
    """Stands in for Snakemake: notes its arguments, and removes the lock."""
    script = tmp_path / "unlock"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nrm -r {tmp_path}/.snakemake/locks\n', encoding="utf-8"
    )
    script.chmod(0o755)
    return [str(script), "--cores", "2"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    sleeping = subprocess.Popen(SLEEP)
    yield sleeping
    sleeping.kill()
    sleeping.wait()


def lock(folder: Path) -> Path:
    path = folder / ".snakemake/locks/0.input.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("results/a.parquet\n", encoding="utf-8")
    return path


def note(folder: Path, owner: Owner) -> None:
    (folder / OWNER).parent.mkdir(exist_ok=True)
    (folder / OWNER).write_text(json.dumps(asdict(owner)), encoding="utf-8")


def owner_of(folder: Path, pid: int) -> Owner:
    """The note that the process ``pid`` would have left."""
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom quasicrit.stages import run_owner\n"
        f"os.getpid = lambda: {pid}\nrun_owner.claim(Path({str(folder)!r}), ['false'])"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    owner = read_owner(folder)
    assert owner is not None
    return owner


def test_a_living_owner_keeps_its_folder(tmp_path: Path, process: subprocess.Popen[bytes], unlock: list[str]) -> None:
    owner = owner_of(tmp_path, process.pid)
    assert owner.is_here
    assert owner.is_alive
    locked = lock(tmp_path)
    with pytest.raises(
        RunError, match=rf"^another run \(process {process.pid}, since 20.*\) is using .*: wait for it or stop it$"
    ):
        claim(tmp_path, unlock)
    assert locked.exists()
    assert read_owner(tmp_path) == owner


def test_a_dead_owner_loses_its_lock_and_its_orphans(
    tmp_path: Path, process: subprocess.Popen[bytes], unlock: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    owner = owner_of(tmp_path, process.pid)
    orphan = subprocess.Popen(SLEEP, env={**os.environ, MARK: owner.run})
    other = subprocess.Popen(SLEEP, env={**os.environ, MARK: "another"})
    try:
        process.kill()  # not waited for: a zombie is dead, too
        while owner.is_alive:
            time.sleep(0.01)
        locked = lock(tmp_path)
        run = claim(tmp_path, unlock)
        assert orphan.wait(10) is not None
        assert other.poll() is None
    finally:
        for one in (orphan, other):
            one.kill()
            one.wait()
    assert not locked.exists()
    assert (tmp_path / "called").read_text() == "--unlock --cores 2\n"
    said = capsys.readouterr().err
    assert "outlived it were ended: 1." in said
    assert "its lock was removed, and this run goes on" in said
    claimed = read_owner(tmp_path)
    assert claimed is not None
    assert (claimed.run, claimed.pid, claimed.is_alive) == (run, os.getpid(), True)


def test_a_number_that_is_used_again_is_not_the_owner(
    tmp_path: Path, process: subprocess.Popen[bytes], unlock: list[str]
) -> None:
    note(tmp_path, replace(owner_of(tmp_path, process.pid), started="an earlier start"))
    lock(tmp_path)
    assert claim(tmp_path, unlock) is not None
    assert process.poll() is None


@pytest.mark.parametrize("left", ["no note", "half a note", "a note of another machine", "a note of another folder"])
def test_an_unknown_lock_is_left_to_snakemake(
    tmp_path: Path,
    process: subprocess.Popen[bytes],
    unlock: list[str],
    left: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if left != "no note":
        other = {"folder": "/elsewhere"} if left == "a note of another folder" else {"host": "elsewhere pid:[1]"}
        note(tmp_path, replace(owner_of(tmp_path, process.pid), started="an earlier start", **other))
    if left == "half a note":
        (tmp_path / OWNER).write_bytes((tmp_path / OWNER).read_bytes()[:50])
    before = (tmp_path / OWNER).read_bytes() if left != "no note" else None
    locked = lock(tmp_path)
    assert claim(tmp_path, unlock) is None
    assert locked.exists()
    assert not (tmp_path / "called").exists()
    assert before is None or (tmp_path / OWNER).read_bytes() == before
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "call snakemake --unlock and start again" in said
    assert ("on elsewhere" in said) == (left == "a note of another machine")


def test_a_lock_of_a_snakemake_beside_a_dead_owner_stays(
    tmp_path: Path, process: subprocess.Popen[bytes], unlock: list[str]
) -> None:
    note(tmp_path, replace(owner_of(tmp_path, process.pid), started="an earlier start"))
    locked = lock(tmp_path)
    plain = subprocess.Popen([*SLEEP, "snakemake"], cwd=tmp_path)
    try:
        while b"snakemake" not in Path(f"/proc/{plain.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        assert claim(tmp_path, unlock) is None
    finally:
        plain.kill()
        plain.wait()
    assert locked.exists()


def test_a_snakemake_that_was_started_without_a_note_owns_its_lock(
    tmp_path: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = owner_of(tmp_path, process.pid)
    monkeypatch.delenv(MARK, raising=False)
    begin(tmp_path, tmp_path / "results")
    assert read_owner(tmp_path) == owner, "a living owner is not forgotten"
    note(tmp_path, replace(owner, started="an earlier start"))
    monkeypatch.setenv(MARK, owner.run)
    begin(tmp_path, tmp_path / "results")
    assert read_owner(tmp_path) is not None, "a run of the Makefile keeps its own"
    monkeypatch.delenv(MARK)
    begin(tmp_path, tmp_path / "results")
    assert read_owner(tmp_path) is None


def test_processes_that_cannot_be_ended_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = subprocess.Popen(SLEEP, env={**os.environ, MARK: "stubborn"})
    try:
        while not processes_of("stubborn"):
            time.sleep(0.01)
        monkeypatch.setattr("psutil.Process.kill", lambda self: None)
        monkeypatch.setattr("psutil.wait_procs", lambda processes, timeout: None)
        with pytest.raises(RunError, match=f"cannot be ended: {orphan.pid}; end them"):
            end_processes("stubborn")
    finally:
        os.kill(orphan.pid, signal.SIGKILL)
        orphan.wait()


def test_results_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way", encoding="utf-8")
    with pytest.raises(
        RunError, match=r"results cannot be written \(File exists\): make it writable, or set the key results"
    ):
        begin(tmp_path, tmp_path / "results")


def test_a_folder_that_cannot_be_written_ends_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("in the way", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "quasicrit.stages.run_owner", "snakemake"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "a run needs a folder that it can write to" in done.stderr
