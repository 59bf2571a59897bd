"""Rule draw_figure: the tables of a run → one figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quasicrit.figures import (
    AdviceTables,
    ArchitectureTables,
    AvalancheTables,
    ConfusionTables,
    DefinitionTables,
    FiniteSizeTables,
    FollowedTables,
    LearningTables,
    PhaseDiagramTables,
    PopulationTables,
    draw_along_training,
    draw_architectures,
    draw_avalanches,
    draw_confusion,
    draw_definitions,
    draw_finite_size_scaling,
    draw_initialisations,
    draw_learning,
    draw_phase_diagram,
    draw_populations,
)

__all__ = ["FIGURES", "draw_figure"]

#: Name of a figure's files → the tables that it reads (fields of the class) and what draws it.
FIGURES: dict[str, tuple[type, Callable[[Any, Sequence[Path | str]], None]]] = {
    "figure-1-avalanches": (AvalancheTables, draw_avalanches),
    "figure-2-phase-diagram": (PhaseDiagramTables, draw_phase_diagram),
    "figure-3-learning": (LearningTables, draw_learning),
    "figure-4-finite-size-scaling": (FiniteSizeTables, draw_finite_size_scaling),
    "figure-5-architectures": (ArchitectureTables, draw_architectures),
    "extended-1-confusion": (ConfusionTables, draw_confusion),
    "extended-2-definitions": (DefinitionTables, draw_definitions),
    "extended-3-initialisations": (AdviceTables, draw_initialisations),
    "extended-4-along-training": (FollowedTables, draw_along_training),
    "extended-5-populations": (PopulationTables, draw_populations),
}


def draw_figure(name: str, results: Mapping[str, Sequence[Path | str]], outputs: Sequence[Path | str]) -> None:
    """Draw the figure ``name`` into ``outputs``; ``results``: the path or paths of each table.

    Tables that the figure does not read may be given too.
    """
    tables, draw = FIGURES[name]
    paths = {field.name: results[field.name] for field in dataclasses.fields(tables)}
    draw(
        tables(**{key: [value] if isinstance(value, str | Path) else list(value) for key, value in paths.items()}),
        outputs,
    )
