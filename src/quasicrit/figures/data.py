"""From tables to curves: points of a grid, and the rows of other tables that belong to a point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasicrit.tables import SCHEMAS, read_table

__all__ = [
    "Paths",
    "Rows",
    "amplitude",
    "by_point",
    "estimate",
    "key",
    "listed",
    "pick",
    "plain",
    "read",
    "scaled",
]

Paths = Sequence[Path | str]
#: The rows of a table by (source, protocol, point_id).
Rows = dict[tuple[str, str, str], pd.DataFrame]


def read(name: str, paths: Paths, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All rows of the tables ``paths`` of one schema; text as plain strings."""
    frame = read_table([str(path) for path in paths], SCHEMAS[name], columns)
    return frame.astype({column: "object" for column in frame if isinstance(frame[column].dtype, pd.CategoricalDtype)})


def by_point(frame: pd.DataFrame) -> Rows:
    """The rows of each (source, protocol, point_id)."""
    return dict(list(frame.groupby(["source", "protocol", "point_id"], sort=True)))


def pick(points: pd.DataFrame, grid: str, **where: Any) -> list[Any]:
    """The points of the grids whose name is ``grid``, by width, depth and memory; ``where`` fixes columns."""
    rows = points[points["grid"] == grid]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    rows = rows.sort_values(["width", "depth", "memory", "sigma_b", "sigma_w"], kind="stable")
    return list(rows.itertuples(index=False))


def key(point: Any) -> tuple[str, str, str]:
    """What a point's rows are found by."""
    return point.source, point.protocol, point.point_id


def plain(rows: Rows, point: Any, **where: Any) -> pd.DataFrame | None:
    """The rows of ``point`` that have the given column values, or None if there are none."""
    found = rows.get(key(point))
    if found is None:
        return None
    for column, value in where.items():
        found = found[found[column] == value]
    return found if len(found) else None


def estimate(exponents: Rows, point: Any, quantity: str) -> Any | None:
    """The exponent of ``point`` in its declared window, or None if it could not be had."""
    found = plain(exponents, point, quantity=quantity, primary=True)
    if found is None:
        return None
    row = next(found.itertuples(index=False))
    return row if np.isfinite(row.exponent) else None


def scaled(scaling: pd.DataFrame, analysis: str, quantity: str) -> Any | None:
    """One row of the scaling table, or None if it is missing or null."""
    found = scaling[(scaling["analysis"] == analysis) & (scaling["quantity"] == quantity)]
    row = next(found.itertuples(index=False), None)
    return row if row is not None and np.isfinite(row.value) else None


def amplitude(exponent: float, low: float, high: float, share: float, offset: float | None) -> float:
    """A of A (x + offset)^−exponent that holds ``share`` of the events in [low, high].

    With an offset x is whole and the terms are summed; without, x is continuous and the density integrated.
    """
    if offset is not None:
        return float(share / ((np.arange(round(low), round(high) + 1) + offset) ** -exponent).sum())
    power = 1.0 - exponent
    if abs(power) < 1e-9:
        return float(share / np.log(high / low))
    return float(share * power / (high**power - low**power))


def listed(values: Sequence[int]) -> str:
    """Whole numbers as text, each once, in order: "64, 128"."""
    return ", ".join(str(v) for v in dict.fromkeys(values))
