"""``make calibrate`` through Snakemake: groups are jobs, done ones stay done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.workflow.conftest import REPOSITORY

GROUPS = ("continuous-2", "p-continuous")


def calibrate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    targets = [f"{folder}/calibration/groups/{group}.parquet" for group in GROUPS]
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("snakemake")),
            *("--snakefile", str(REPOSITORY / "workflow/calibration.smk"), "--directory", str(folder)),
            *("--cores", "2", "--scheduler", "greedy", *targets, *arguments),
            *("--config", f"results={folder}", "share=0.005"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        check=False,
        timeout=300,
    )


def test_a_stopped_calibration_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = calibrate(tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    kept = tmp_path / "calibration/groups/continuous-2.parquet"
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    again = calibrate(tmp_path)
    assert "Nothing to be done" in again.stderr
    (tmp_path / "calibration/groups/p-continuous.parquet").unlink()
    resumed = calibrate(tmp_path)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert "1 of 1 steps" in resumed.stderr
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before
