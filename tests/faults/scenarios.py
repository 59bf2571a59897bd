"""What may happen to a run besides kills. Each scenario starts from a copy of a complete run, or an empty folder, and returns what it did."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quasicrit.errors import TableError

from .disks import small_disk
from .runs import (
    Product,
    differences,
    files_of,
    owned_command,
    run,
    running_jobs,
    snakemake_command,
    start,
    tail,
    verify,
)


@dataclass
class Outcome:
    """A scenario: what was done, how often, what came of it, and what should not have."""

    scenario: str
    done: str
    times: int = 0
    came: str = ""
    faults: list[str] = field(default_factory=list)

    def check(self, good: bool, fault: str) -> None:
        if not good:
            self.faults.append(fault)


#: A tmpfs gives room by whole pages.
_PAGE = 4096


def copy_of(reference: Path, folder: Path) -> Path:
    """The complete run once more, in ``folder``, with its times."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("results", ".snakemake"):
        shutil.copytree(reference / name, folder / name, dirs_exist_ok=True)
    return folder


def _without(folder: Path, outputs: Sequence[str]) -> list[str]:
    for path in outputs:
        (folder / path).unlink()
    return list(outputs)


def one_of_each_rule(jobs: Sequence[Product], rng: random.Random) -> list[Product]:
    """A job of every rule that makes files."""
    shuffled = rng.sample(list(jobs), len(jobs))
    return sorted({job.rule: job for job in shuffled}.values(), key=lambda job: job.rule)


def kinds_of_tables(jobs: Sequence[Product], rng: random.Random) -> dict[str, str]:
    """One file of every kind of table, by rule and kind of output."""
    found = {}
    for job in rng.sample(list(jobs), len(jobs)):
        for path in job.outputs:
            name = Path(path).stem if "=" not in Path(path).stem else path.split("/")[1]
            if path.endswith((".parquet", ".safetensors")):
                found[f"{job.rule}: {name}{Path(path).suffix}"] = path
    return dict(sorted(found.items()))


def _check_failure(made: Outcome, what: str, code: int, said: str, sentence: str) -> None:
    made.check(code != 0, f"{what}: ended well")
    made.check(re.search(sentence, said) is not None, f"{what}: no sentence {sentence!r} in {said[-1500:]!r}")
    made.check("Traceback" not in said, f"{what}: a traceback: {said[-1500:]!r}")


def _check_same(made: Outcome, what: str, folder: Path, reference: Path, complete: bool = True) -> None:
    made.faults += [f"{what}: {line}" for line in differences(folder, reference, complete)]


def full_disk_in_jobs(reference: Path, work: Path, jobs: Sequence[Product], rng: random.Random) -> Outcome:
    """``jobs`` again, one at a time, with the results on a disk that has room for half of what the job writes."""
    made = Outcome(
        "disk full in a job", "results on a tmpfs with room for half of the job's largest file; then room for all"
    )
    fitted: list[str] = []
    folder = work / "full-jobs"
    with small_disk(folder / "results", "256m") as disk:
        copy_of(reference, folder)
        for job in jobs:
            largest = max((folder / path).stat().st_size for path in job.outputs)
            _without(folder, job.outputs)
            disk.fill(room=largest // 2)
            done = run(folder, owned_command("--", job.outputs[0]))
            # What a long job keeps lies in a hidden folder beside its output.
            named = "|".join([*map(re.escape, job.outputs), r"results/\S+\.parts/\S+"])
            sentence = rf"(?m)^({named}) cannot be written \(No space left on device"
            if done.returncode == 0:
                fitted.append(job.rule)
                made.check(largest <= _PAGE, f"{job.rule}: ended well")
            else:
                _check_failure(made, job.rule, done.returncode, done.stdout, sentence)
            _check_same(made, job.rule, folder, reference, complete=False)
            left = [str(path) for path in (folder / "results").rglob("*.tmp")]
            made.check(not left, f"{job.rule}: left behind {left}")
            disk.make_room()
            done = run(folder, owned_command("--", *job.outputs))
            made.check(done.returncode == 0, f"{job.rule}: with room: {done.stdout[-1500:]}")
            _check_same(made, job.rule, folder, reference)
            made.times += 1
    made.came = "one sentence that names the file; nothing under a final name; with room the same values"
    if fitted:
        made.came += f" ({', '.join(fitted)}: a file of less than a page found room)"
    return made


def full_disk_in_a_run(reference: Path, work: Path, megabytes: float) -> Outcome:
    """A whole run on a disk with room for a part of it, Snakemake's notes included; then with room for all."""
    made = Outcome("disk full in a run", f"a run from nothing on a tmpfs of {megabytes:g} MB; then of 256 MB", 1)
    folder = work / "full-run"
    with small_disk(folder, f"{int(megabytes * 1024)}k") as disk:
        done = run(folder, owned_command())
        made.check(done.returncode != 0, "the run fitted; give it a smaller disk")
        made.check("No space left on device" in done.stdout, f"no reason: {done.stdout[-1500:]}")
        _check_same(made, "full", folder, reference, complete=False)
        disk.remount("size=256m")
        done = run(folder, owned_command())
        made.check(done.returncode == 0, f"with room: {done.stdout[-1500:]}")
        _check_same(made, "with room", folder, reference)
    made.came = "the run ends and says that no space is left; nothing half-written; with room the same values"
    return made


def read_only(reference: Path, work: Path, jobs: Sequence[Product]) -> Outcome:
    """Jobs whose results cannot be written, and a run in a folder where nothing can; then they can."""
    made = Outcome("read-only results", "tmpfs remounted read-only: under the results, and under all of the folder", 2)
    folder = work / "read-only"
    outputs = [path for job in jobs for path in job.outputs]
    for mounted, sentence in (
        ("results", "cannot be written|Write-protected output files"),
        (".", r"cannot be written \(Read-only file system\)"),
    ):
        with small_disk(folder / mounted, "256m") as disk:
            copy_of(reference, folder)
            _without(folder, outputs)
            disk.remount("ro")
            done = run(folder, owned_command("--", *outputs))
            _check_failure(made, mounted, done.returncode, done.stdout, sentence)
            disk.remount("rw")
            done = run(folder, owned_command("--", *outputs))
            made.check(done.returncode == 0, f"{mounted}, writable again: {done.stdout[-1500:]}")
            _check_same(made, mounted, folder, reference)
        shutil.rmtree(folder)
    made.came = "one sentence; once writable the same values"
    return made


def _damaged(whole: bytes, rng: random.Random, flips: int, truncations: int) -> Iterator[tuple[str, bytes]]:
    for _ in range(flips):
        at = rng.randrange(len(whole))
        yield f"byte {at}", whole[:at] + bytes([whole[at] ^ rng.randrange(1, 256)]) + whole[at + 1 :]
    for _ in range(truncations):
        length = rng.randrange(len(whole))
        yield f"the first {length} bytes", whole[:length]


def damaged_tables(reference: Path, work: Path, tables: dict[str, str], rng: random.Random, each: int) -> Outcome:
    """Every kind of table with one byte altered, ``each`` times, and cut off, as often, given to its reader."""
    made = Outcome(
        "damaged table, read",
        f"{len(tables)} kinds of table, each with one altered byte, and cut off, at {each} random places",
    )
    folder = work / "damaged"
    for kind, path in tables.items():
        whole = (reference / path).read_bytes()
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        for what, content in _damaged(whole, rng, each, each):
            copy.write_bytes(content)
            made.times += 1
            try:
                verify(copy)
            except TableError as error:
                good = str(error).startswith(str(copy)) and "delete it and run again" in str(error)
                made.check(good and "\n" not in str(error), f"{kind}, {what}: {error}")
            else:
                made.check(False, f"{kind}, {what}: read as if it were whole")
    made.came = "every one refused in one sentence that names the file and says to delete it and run again"
    return made


def damaged_inputs(
    reference: Path, work: Path, jobs: Sequence[Product], tables: Sequence[str], rng: random.Random
) -> Outcome:
    """The next job with a damaged input, one of ``tables`` at a time; then the file is deleted, as the sentence says."""
    made = Outcome(
        "damaged table, next job", "a job with an input of which one byte is altered; then the input is deleted"
    )
    folder = copy_of(reference, work / "damaged-run")
    for path in tables:
        reader = next((job for job in jobs if path in job.inputs), None)
        if reader is None:
            continue
        times, whole = (folder / path).stat(), (folder / path).read_bytes()
        ((what, content),) = _damaged(whole, rng, 1, 0)
        (folder / path).write_bytes(content)
        os.utime(folder / path, ns=(times.st_atime_ns, times.st_mtime_ns))
        _without(folder, reader.outputs)
        done = run(folder, owned_command("--", *reader.outputs))
        _check_failure(
            made, f"{path}, {what}", done.returncode, done.stdout, rf"(?m)^{re.escape(path)}.*delete it and run again"
        )
        (folder / path).unlink()
        # Asked for by name: what a finished run needs no more, Snakemake does not make again by itself.
        for target in (("--", *reader.outputs), ()):
            done = run(folder, owned_command(*target))
            made.check(done.returncode == 0, f"{path}, deleted: {done.stdout[-1500:]}")
        _check_same(made, f"{path}, deleted", folder, reference)
        made.times += 1
    made.came = "one sentence that names the file; deleted, it is made again with the same values"
    return made


def vanished_files(reference: Path, work: Path, paths: Sequence[str]) -> Outcome:
    """Results that somebody deleted, tables and figures."""
    made = Outcome("vanished files", f"{len(paths)} random results deleted, tables and figures", len(paths))
    folder = copy_of(reference, work / "vanished")
    gone = _without(folder, paths)
    done = run(folder, owned_command())
    made.check(done.returncode == 0, f"again: {done.stdout[-1500:]}")
    _check_same(made, "again", folder, reference, complete=False)
    done = run(folder, owned_command("--", *gone))
    made.check(done.returncode == 0, f"asked for: {done.stdout[-1500:]}")
    _check_same(made, "asked for", folder, reference)
    made.came = "what a target needs is made again, the rest when it is asked for, with the same values"
    return made


def skewed_clock(reference: Path, work: Path, paths: Sequence[str]) -> Outcome:
    """Results whose times lie at the epoch and in the future by turns."""
    made = Outcome("clock skew", "random results dated 1970 and a year ahead by turns", len(paths))
    folder = copy_of(reference, work / "skewed")
    now = time.time()
    for index, path in enumerate(paths):
        stamp = now + 365 * 86400 if index % 2 else 0.0
        os.utime(folder / path, (stamp, stamp))
    done = run(folder, owned_command())
    if done.returncode != 0:
        # A job that read a file of the future: Snakemake says so, and the user sets its time.
        made.check("older modification time" in done.stdout, f"no sentence: {done.stdout[-1500:]}")
        made.check("clock skew" in done.stdout, f"no reason: {done.stdout[-1500:]}")
        _check_same(made, "refused", folder, reference, complete=False)
        for path in paths[1::2]:
            os.utime(folder / path)
        made.came = (
            "Snakemake names the input of the future and removes the outputs of the job that read it; its time set, "
        )
        # Asked for by name: what a finished run needs no more, Snakemake does not make again by itself.
        gone = [f"results/{path}" for path in files_of(reference) if not (folder / "results" / path).exists()]
        done = run(folder, owned_command("--", *gone)) if gone else done
        made.check(done.returncode == 0 or not gone, f"asked for: {done.stdout[-1500:]}")
        done = run(folder, owned_command())
    made.check(done.returncode == 0, f"again: {done.stdout[-1500:]}")
    _check_same(made, "again", folder, reference)
    last = run(folder, owned_command())
    made.check("Nothing to be done" in last.stdout, f"not idle: {last.stdout[-1500:]}")
    _check_same(made, "idle", folder, reference)
    made.came += "the same values; the next run does nothing"
    return made


def two_runs_and_orphans(reference: Path, work: Path, before: float) -> Outcome:
    """A run; a second one and a plain Snakemake in its folder; the first is killed, and its jobs write on beside its successor."""
    made = Outcome(
        "two runs at once; orphans", "a second run and a plain Snakemake beside a run; its main process killed, "
        "its lock removed by hand, and a plain Snakemake beside the orphans",
        1,
    )  # fmt: skip
    folder = work / "two-runs"
    folder.mkdir(parents=True)
    first = start(folder, owned_command())
    deadline = time.monotonic() + before
    while time.monotonic() < deadline or not (running_jobs(folder) and any((folder / ".snakemake/locks").glob("*"))):
        if first.poll() is not None:
            made.check(False, f"the first ended early: {tail(folder)}")
            return made
        time.sleep(0.1)
    second = run(folder, owned_command())
    _check_failure(
        made,
        "the second run",
        second.returncode,
        second.stdout,
        rf"^another run \(process {first.pid}, since .*\) is using {folder}",
    )
    made.check(second.stdout.count("\n") == 1, f"the second run: more than a sentence: {second.stdout}")
    plain = run(folder, snakemake_command())
    _check_failure(made, "the plain Snakemake", plain.returncode, plain.stdout, "Directory cannot be locked")
    made.check(first.poll() is None, f"the first was disturbed: {tail(folder)}")
    while not running_jobs(folder) and first.poll() is None:
        time.sleep(0.05)
    first.kill()
    first.wait()
    orphans = running_jobs(folder)
    made.check(bool(orphans), "no job outlived its main process")
    # As a user without the Makefile would, who does not know of the orphans.
    made.check(run(folder, snakemake_command("--unlock")).returncode == 0, "not unlocked")
    done = run(folder, snakemake_command())
    made.check(done.returncode == 0, f"beside the orphans: {done.stdout[-1500:]}")
    _check_same(made, "beside the orphans", folder, reference)
    made.came = (
        f"one sentence; Snakemake's message; the first undisturbed; the same values beside {len(orphans)} orphans"
    )
    return made
