"""The figures of a run, drawn from its tables alone: avalanches, phase diagram, finite-size scaling."""

from __future__ import annotations

from quasicrit.figures.avalanches import AvalancheTables, draw_avalanches
from quasicrit.figures.finite_size_scaling import FiniteSizeTables, draw_finite_size_scaling
from quasicrit.figures.phase_diagram import PhaseDiagramTables, draw_phase_diagram

__all__ = [
    "AvalancheTables",
    "FiniteSizeTables",
    "PhaseDiagramTables",
    "draw_avalanches",
    "draw_finite_size_scaling",
    "draw_phase_diagram",
]
