"""Rule solve_theory: the mean-field phase diagram and the lines on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.tables import SCHEMAS, write_table
from quasicrit.theory import Order, chi_1, depth_ridge, edge_of_chaos, fixed_point, j0, ridge, susceptibility

__all__ = ["solve_theory"]

_ACTIVATION = "tanh"
_ORDERS: tuple[Order, ...] = ("m", "rms", "abs")


def solve_theory(
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    points: int,
    depths: Sequence[int],
    diagram: Path | str,
    lines: Path | str,
    details: Mapping[str, Any],
) -> None:
    """Map m*, chi_1 and the three susceptibilities of tanh over the plane; edge of chaos, ridges, J0(L) along sigma_b.

    At sigma_b = 0 the ridges end in the critical point (1, 0), where chi of rms and abs is infinite; the
    derivative does not exist on the line of the transition and is null there.
    """
    w = np.linspace(sigma_w[0], sigma_w[1], points)
    b = np.linspace(sigma_b[0], sigma_b[1], points)
    grid_w, grid_b = (axis.ravel() for axis in np.meshgrid(w, b))
    fixed = fixed_point(_ACTIVATION, grid_w, grid_b)
    chi = susceptibility(_ACTIVATION, grid_w, grid_b)
    finite = {order: np.where(np.isfinite(getattr(chi, order)), getattr(chi, order), np.nan) for order in _ORDERS}
    write_table(
        diagram,
        SCHEMAS["phase_diagram"],
        {
            "sigma_w": grid_w,
            "sigma_b": grid_b,
            "m_star": fixed.m,
            "chi_1": chi_1(_ACTIVATION, grid_w, grid_b),
            **{f"chi_{order}": finite[order] for order in _ORDERS},
        },
        details,
    )
    rows: list[dict[str, Any]] = []

    def add(line: str, at: float, depth: int, where: float, height: float | None) -> None:
        rows.append({"line": line, "sigma_b": at, "depth": depth, "sigma_w": where, "height": height})

    for at in b:
        add("edge_of_chaos", at, 0, edge_of_chaos(_ACTIVATION, float(at)), None)
        if at > 0:
            for order in _ORDERS:
                top = ridge(_ACTIVATION, order, float(at))
                add(f"ridge_{order}", at, 0, top.sigma_w, top.susceptibility)
    for depth in depths:
        for at in np.linspace(sigma_b[0], sigma_b[1], 6):
            add("j0", at, depth, j0(_ACTIVATION, depth, float(at)), None)
            top = depth_ridge(_ACTIVATION, "m", depth, float(at))
            add("ridge_m", at, depth, top.sigma_w, top.susceptibility)
    write_table(lines, SCHEMAS["lines"], rows, details)
