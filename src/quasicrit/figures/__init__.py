"""The figures of a run, drawn from its tables alone: avalanches, phase diagram, scaling, classes."""

from __future__ import annotations

from quasicrit.figures.avalanches import AvalancheTables, draw_avalanches
from quasicrit.figures.classes import ConfusionTables, DefinitionTables, draw_confusion, draw_definitions
from quasicrit.figures.finite_size_scaling import FiniteSizeTables, draw_finite_size_scaling
from quasicrit.figures.phase_diagram import PhaseDiagramTables, draw_phase_diagram

__all__ = [
    "AvalancheTables",
    "ConfusionTables",
    "DefinitionTables",
    "FiniteSizeTables",
    "PhaseDiagramTables",
    "draw_avalanches",
    "draw_confusion",
    "draw_definitions",
    "draw_finite_size_scaling",
    "draw_phase_diagram",
]
