"""How the collapse of the mean profiles of a point is named in the table of scaling results."""

from __future__ import annotations

from typing import Any

__all__ = ["shape_name"]


def shape_name(point: Any, in_grid: int) -> str:
    """``shape_<grid>``, with the activation unless tanh, and the width where the grid holds more than two points."""
    name = f"shape_{point.grid}" + ("" if point.activation == "tanh" else f"_{point.activation}")
    return name + (f"_N={point.width}" if in_grid > 2 else "")
