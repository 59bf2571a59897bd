"""Any number of parameter points in blocks of the recommended size: what the DAG costs (tests, benchmarks)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from quasicrit.config import load_config
from quasicrit.stages.plan import sizes_for
from quasicrit.stages.plan_report import merge

__all__ = ["SMOKE", "many_points"]

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow/presets/smoke.yaml"


def many_points(count: int, target_minutes: float = 10.0) -> dict[str, Any]:
    """Configuration over the smoke preset: one grid of ``count`` points, a multiple of 100, in jobs of ``target_minutes``.

    Two widths × two depths × 25 sigma_b × count/100 sigma_w, 960 networks each.
    """
    grid = {
        "name": "many",
        "protocol": "T",
        "sigma_w": [round(0.8 + 0.01 * k, 2) for k in range(count // 100)],
        "sigma_b": [round(0.02 * k, 2) for k in range(25)],
        "width": [32, 64],
        "depth": [1280, 1920],
        "nets": 960,
        "vary_window": False,
    }
    base = merge(*(yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "config.yaml", SMOKE)))
    block_size, learning = sizes_for(load_config(merge(base, {"grids": [grid]})), target_minutes, {})
    return {"grids": [grid], "block_size": block_size, "learning": {"block_size": learning}}
