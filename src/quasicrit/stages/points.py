"""Rule list_points: the points of a run spelled out as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quasicrit.points import Point
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["write_points"]


def write_points(points: Sequence[Point], output: Path | str, details: Mapping[str, Any]) -> None:
    """Write the points table."""
    rows = []
    for point in points:
        process = point.source == "process"
        rows.append(
            {
                "source": point.source,
                "protocol": point.protocol,
                "point_id": point.point_id,
                "grid": point.grid,
                "architecture": point.process if process else "mlp",
                "activation": point.activation,
                "init": point.init,
                "width": point.width,
                "depth": point.depth,
                "sigma_w_rule": point.sigma_w_rule,
                "sigma_w": None if process else point.sigma_w,
                "sigma_b": None if process else point.sigma_b,
                "memory": point.memory if point.memory else None,
                "step_sd": point.step_sd,
                "nets": point.nets,
                "inputs": point.inputs,
            }
        )
    write_table(output, SCHEMAS["points"], rows, details)
