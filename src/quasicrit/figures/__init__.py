"""The figures of a run, drawn from its tables alone: avalanches, phase diagram, scaling, classes, learning, architectures."""

from __future__ import annotations

from quasicrit.figures.architectures import ArchitectureTables, draw_architectures
from quasicrit.figures.avalanches import AvalancheTables, draw_avalanches
from quasicrit.figures.classes import ConfusionTables, DefinitionTables, draw_confusion, draw_definitions
from quasicrit.figures.finite_size_scaling import FiniteSizeTables, draw_finite_size_scaling
from quasicrit.figures.learning import (
    AdviceTables,
    FollowedTables,
    LearningTables,
    draw_along_training,
    draw_initialisations,
    draw_learning,
)
from quasicrit.figures.phase_diagram import PhaseDiagramTables, draw_phase_diagram
from quasicrit.figures.populations import PopulationTables, draw_populations

__all__ = [
    "AdviceTables",
    "ArchitectureTables",
    "AvalancheTables",
    "ConfusionTables",
    "DefinitionTables",
    "FiniteSizeTables",
    "FollowedTables",
    "LearningTables",
    "PhaseDiagramTables",
    "PopulationTables",
    "draw_along_training",
    "draw_architectures",
    "draw_avalanches",
    "draw_confusion",
    "draw_definitions",
    "draw_finite_size_scaling",
    "draw_initialisations",
    "draw_learning",
    "draw_phase_diagram",
    "draw_populations",
]
