"""Ten thousand points of parameter space are a few hundred jobs. What their DAG costs: ``make benchmarks``."""

from __future__ import annotations

from pathlib import Path

import yaml

from quasicrit.config import points
from quasicrit.stages.plan_report import read_configuration

from ..many_points import ROOT, SMOKE, many_points
from .conftest import run


def test_ten_thousand_points_in_three_hundred_jobs_at_most(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(yaml.safe_dump(many_points(10_000)), encoding="utf-8")
    planned = read_configuration([str(ROOT / "config.yaml"), str(SMOKE), str(path)])
    assert len(points(planned)) == 10_000
    made = run(tmp_path, "-n", "--quiet", "rules", "--configfile", str(SMOKE), str(path), preset=None)
    assert made.returncode == 0, made.stderr[-2000:]
    (total,) = {line.split()[1] for line in made.stdout.splitlines() if line.startswith("total ")}
    assert 50 < int(total) <= 300
