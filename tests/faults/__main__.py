"""make faults: complete runs killed at random moments, and everything else that may happen to one; writes results/faults.md."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from quasicrit.tables import atomic_path

from . import scenarios
from .disks import can_mount
from .kills import Campaign, kill_runs
from .runs import owned_command, products, run
from .scenarios import Outcome


def _say(text: str) -> None:
    print(text, flush=True)


def _all_scenarios(reference: Path, work: Path, rng: random.Random, seconds: float) -> list[Outcome]:
    jobs = products(reference)
    each_rule = scenarios.one_of_each_rule(jobs, rng)
    tables = scenarios.kinds_of_tables(jobs, rng)
    outputs = sorted(path for job in jobs for path in job.outputs)
    figures = [path for path in outputs if path.endswith(".svg")]
    megabytes = sum(path.stat().st_size for path in (reference / "results").rglob("*")) / 2e6
    steps: list[Callable[[], Outcome]] = [
        lambda: scenarios.damaged_tables(reference, work, tables, rng, 20),
        lambda: scenarios.damaged_inputs(reference, work, jobs, rng.sample(sorted(tables.values()), 5), rng),
        lambda: scenarios.vanished_files(reference, work, sorted({*rng.sample(outputs, 11), rng.choice(figures)})),
        lambda: scenarios.skewed_clock(reference, work, rng.sample(outputs, 12)),
        lambda: scenarios.two_runs_and_orphans(reference, work, seconds / 6),
    ]
    if can_mount():
        steps += [
            lambda: scenarios.full_disk_in_jobs(reference, work, each_rule, rng),
            lambda: scenarios.full_disk_in_a_run(reference, work, megabytes),
            lambda: scenarios.read_only(reference, work, rng.sample(each_rule, 3)),
        ]
    else:
        _say("disk full and read-only results are left out: they need root, to mount a tmpfs")
    done = []
    for step in steps:
        begun = time.monotonic()
        done.append(step())
        _say(f"{done[-1].scenario}: {'; '.join(done[-1].faults) or done[-1].came} ({time.monotonic() - begun:.0f} s)")
    return done


def _page(campaign: Campaign | None, outcomes: list[Outcome], seed: int) -> str:
    lines = ["# Faults", "", f"`make faults`, seed {seed}, smoke preset, local executor.", ""]
    if campaign is not None:
        lines += [
            "## Killed runs",
            "",
            f"{campaign.total} kills -9 at random moments in {campaign.runs} complete runs from empty folders (at least {campaign.fewest} in each), "
            f"{campaign.seconds / 60:.0f} minutes. After each kill of a main process every file under a final name, and at the end all of them, "
            "were compared with an undisturbed run: tables by their values, bit for bit, all else by its bytes.",
            "",
            "| killed | times |",
            "|---|---|",
            *(f"| {what} | {count} |" for what, count in campaign.kills.items()),
            "",
            f"{campaign.orphans} jobs outlived their main process and were ended by the next run.",
            "",
            "| job killed, alone or with its run | times |",
            "|---|---|",
            *(f"| {rule} | {count} |" for rule, count in sorted(campaign.jobs.items())),
            "",
            *(
                [f"- FAULT: {fault}" for fault in campaign.faults]
                or ["Every run ended in the values of the undisturbed one."]
            ),
            "",
        ]
    if outcomes:
        lines += ["## Other faults", "", "| scenario | what was done | times | outcome |", "|---|---|---|---|"]
        lines += [
            f"| {o.scenario} | {o.done} | {o.times} | {'FAULT, see below' if o.faults else o.came} |" for o in outcomes
        ]
        lines += ["", *(f"- FAULT: {o.scenario}: {fault}" for o in outcomes for fault in o.faults)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run the campaign; exit code 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="complete runs that are killed (default 20; 0: none)")
    parser.add_argument("--kills", type=int, default=200, help="kills in all (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments and places (default 1)")
    parser.add_argument("--no-scenarios", action="store_true", help="killed runs only")
    parser.add_argument("--folder", type=Path, help="where to run (default: a temporary folder, removed afterwards)")
    parser.add_argument("--report", type=Path, default=Path("results/faults.md"))
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        work = (chosen.folder or Path(temporary)).resolve()
        reference = work / "undisturbed"
        reference.mkdir(parents=True)
        _say("an undisturbed run")
        begun = time.monotonic()
        done = run(reference, owned_command())
        seconds = time.monotonic() - begun
        if done.returncode != 0:
            _say(f"the undisturbed run failed: {done.stdout[-3000:]}")
            return 1
        _say(f"it took {seconds:.0f} s")
        outcomes = [] if chosen.no_scenarios else _all_scenarios(reference, work, rng, seconds)
        campaign = (
            kill_runs(reference, work, chosen.runs, chosen.kills, seconds, rng, _say) if chosen.runs > 0 else None
        )
    with atomic_path(chosen.report) as path:
        path.write_text(_page(campaign, outcomes, chosen.seed), encoding="utf-8")
    faults = [fault for o in outcomes for fault in o.faults] + (campaign.faults if campaign else [])
    _say(f"{chosen.report}: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
