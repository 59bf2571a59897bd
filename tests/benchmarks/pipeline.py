"""What Snakemake and the start of jobs cost: dry runs, jobs of many points, and the share of CPU time outside the science."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from quasicrit.errors import QuasicritError
from quasicrit.stages.plan import SAVED
from quasicrit.stages.plan_report import plan_report

from ..many_points import ROOT, SMOKE, many_points
from .measure import Row, child_seconds

TITLE = "Pipeline"
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
DEFAULT, PAPER = str(ROOT / "config.yaml"), str(ROOT / "workflow/presets/paper.yaml")

#: One block of propagation of some fifteen seconds, its detection and its fits.
ONE_BLOCK: Mapping[str, Any] = {
    "block_size": 1e12,
    "grids": [
        {"name": "one", "protocol": "T", "sigma_w": ["critical"], "width": [256], "depth": [2560], "nets": 3072, "vary_window": False}
    ],
}  # fmt: skip
EXPONENTS = "results/exponents/gaussian/T/exponents.parquet"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield Row("snakemake --version", child_seconds([SNAKEMAKE, "--version"])[0], unit="s")
        yield Row("dry run of the default configuration", dry_run(folder)[0], unit="s")
        used, jobs = dry_run(folder, many_points(10_000))
        yield Row("dry run of 10,000 points", used, unit="s", at_most=10)
        yield Row("jobs of 10,000 points", jobs, unit="jobs", at_most=300)
        for stage in ("propagate", "detect", "exponents", "learn"):
            command = [sys.executable, "-c", f"import quasicrit.stages.job, quasicrit.stages.{stage}"]
            yield Row(f"start of the interpreter and imports of stages.{stage}", child_seconds(command)[0], unit="s")
        yield share_of_one_block(folder)
    predicted = plan_report([DEFAULT, PAPER], target_minutes=60)["target"]["start_share"]
    yield Row("start of full-size blocks (paper.yaml, 60 minutes), predicted", 100 * predicted, unit="%", at_most=5)
    yield from share_of_the_default_run()


def dry_run(folder: Path, over: Mapping[str, Any] | None = None) -> tuple[float, int]:
    """CPU seconds and number of jobs of ``snakemake -n``: the default configuration, or ``over`` over the smoke preset."""
    made = child_seconds([*_command(folder, over), "-n", "--quiet", "rules", "--", "all"])
    (total,) = {line.split()[1] for line in made[1].splitlines() if line.startswith("total ")}
    return made[0], int(total)


def share_of_one_block(folder: Path) -> Row:
    """Everything from Snakemake's start to the exponents, by the logs of the jobs and of Snakemake."""
    command = [*_command(folder, ONE_BLOCK), "--quiet", "all", "--", EXPONENTS]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    outside = plan_report([DEFAULT, str(SMOKE), str(folder / "over.yaml")], str(folder / "results"))["outside"]
    work = outside["cpu_seconds"] - outside["start_seconds"]
    name = f"share outside the science, three jobs with {work:.0f} s of work, Snakemake included"
    return Row(name, 100 * outside["share"], unit="%")


def share_of_the_default_run() -> Iterator[Row]:
    """Of the last run in results/, if there is one with CPU times in its logs."""
    results = ROOT / "results"
    if (results / SAVED).is_file():
        try:
            outside = plan_report([DEFAULT], str(results)).get("outside")
        except QuasicritError:
            return
        if outside is not None:
            name = f"share outside the science, the run in results/ ({outside['jobs']} jobs), Snakemake included"
            yield Row(name, 100 * outside["share"], unit="%", at_most=35)


def _command(folder: Path, over: Mapping[str, Any] | None) -> list[str]:
    """A Snakemake call in ``folder``, without what is to be run."""
    command = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "1"]
    command += ["--scheduler", "greedy"]
    if over is not None:
        path = folder / "over.yaml"
        path.write_text(yaml.safe_dump(dict(over)), encoding="utf-8")
        command += ["--configfile", str(SMOKE), str(path)]
    return command
