"""The workflow as a module of another Snakefile, which replaces one of its rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .conftest import REPOSITORY

SNAKEFILE = f"""
configfile: "{REPOSITORY}/config.yaml"
configfile: "{REPOSITORY}/workflow/presets/smoke.yaml"


module quasicrit:
    snakefile:
        "{REPOSITORY}/Snakefile"
    config:
        config


use rule * from quasicrit exclude list_points as quasicrit_*


rule own_points:
    output:
        "results/points.parquet",
    shell:
        "echo mine > {{output}}"


rule everything:
    default_target: True
    input:
        rules.quasicrit_all.input,
"""


def test_another_workflow_imports_this_one_and_replaces_a_rule(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "1", "--scheduler", "greedy"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    planned = run("-n", "--quiet", "rules")
    for rule in ("own_points", "quasicrit_draw_figure", "quasicrit_judge_claims"):
        assert rule in planned
    assert "quasicrit_list_points" not in planned
    run("results/points.parquet", "results/theory/phase_diagram.parquet")
    assert (tmp_path / "results/points.parquet").read_text() == "mine\n"
    assert (tmp_path / "results/theory/phase_diagram.parquet").stat().st_size > 1000
